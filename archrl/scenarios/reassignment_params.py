"""Parameters of generated instances of machine reassignment, with the smallest and the largest set of values."""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field, model_validator

from archrl.config import Config
from archrl.traces.integer_file import INTEGER_LIMIT

Rows = tuple[tuple[float, ...], ...]


class ReassignmentParams(Config):
    """Shape of a generated instance. The defaults follow the published instances; `like` fits them to one of these."""

    nodes: int = Field(20, ge=1)
    """N."""
    processes: int = Field(200, ge=1)
    """P."""
    services: int = Field(120, ge=1)
    """S, each with a process or more."""
    replicated_services: int = Field(20, ge=0)
    """Services with two processes or more; the others have one."""
    replicas_max: int = Field(10, ge=2)
    """Most processes of a service, at most the nodes."""
    transient: tuple[bool, ...] = Field((False, False, True), min_length=1)
    """Which of the R resources are transient."""
    load_weight: int = Field(10, ge=0)
    """Weight of the load cost of every resource."""
    locations: int = Field(10, ge=1)
    """Locations, of equal numbers of nodes; at most the nodes."""
    neighborhoods: int = Field(5, ge=1)
    """Neighborhoods, of equal numbers of nodes; at most the nodes."""
    nested: bool = True
    """Whether the nodes of a location share a neighborhood; needs as many locations as neighborhoods or more."""
    dependencies: int = Field(40, ge=0)
    """Dependencies of all services together; fewer when the drawn assignments satisfy no more."""
    dependent_services: int = Field(12, ge=0)
    """Services that depend on others; they and what they depend on are replicated services."""
    spread_tightness: float = Field(0.38, ge=0, le=1)
    """Mean of spread_min over the locations that a replicated service runs in."""
    tightness: tuple[float, ...] = Field((0.85,), min_length=1)
    """Use over capacity, all nodes together; one number for each resource, or one for all."""
    safety: tuple[float, ...] = Field((0.83,), min_length=1)
    """Safety capacity over capacity, all nodes together; one number for each resource, or one for all."""
    safety_width: float = Field(0.12, ge=0, le=1)
    """Safety capacity over capacity of a node is uniform within this distance of `safety`, and at most 1."""
    requirement_quantiles: Rows = Field(((900.0, 900_000.0),), min_length=1)
    """Requirements at evenly spaced probabilities from 0 to 1, in the unit of the instance, log-linear in between; one
    list for each resource, or one for all. Two numbers: log-uniform between them."""
    requirement_correlation: Rows = ()
    """(R, R) correlation between resources of the requirement's normal scores; empty for none."""
    balances: tuple[tuple[int, int, int, int], ...] = ()
    """First and second resource, target and weight of each balance cost."""
    process_move_cost_max: int = Field(1, ge=1)
    """Move costs of processes are uniform from 1 to this."""
    node_move_costs: tuple[int, int, int] = (0, 1, 2)
    """Move cost between nodes of one location, else of one neighborhood, else."""
    process_move_weight: int = Field(1, ge=0)
    """Weight of process moves."""
    service_move_weight: int = Field(10, ge=0)
    """Weight of service moves."""
    node_move_weight: int = Field(100, ge=0)
    """Weight of node moves."""
    apart_frac: float = Field(0.95, ge=0, le=1)
    """Share of the replicated services whose processes all run in distinct locations, as far as there are so many."""
    node_skew: float = Field(0.0, ge=0, le=3)
    """Standard deviation of the logarithm of the nodes' sizes."""
    aged_frac: float = Field(0.8, ge=0, le=1)
    """Share of the services that the initial assignment has on other nodes than the one that capacities follow."""
    aged_skew: float = Field(0.0, ge=0, le=3)
    """Standard deviation of the logarithm of the nodes' attraction for these services."""

    aged_slack: float = Field(0.05, ge=0, le=1)
    """Room of nodes that these services fill beyond their size: uniform from 0 to this share of the use."""

    @property
    def resources(self) -> int:
        """R."""
        return len(self.transient)

    @model_validator(mode="after")
    def _counts_fit(self) -> ReassignmentParams:
        spare, replicated = self.processes - self.services, self.replicated_services
        if replicated > self.services or not replicated <= spare <= replicated * (self.replicas_max - 1):
            raise ValueError(
                f"processes - services = {spare} from replicated_services = {replicated} (at most the services) to "
                f"replicated_services * (replicas_max - 1) = {replicated * (self.replicas_max - 1)}"
            )
        if replicated and self.replicas_max > self.nodes:
            raise ValueError(f"replicas_max={self.replicas_max} at most nodes={self.nodes}")
        if max(self.locations, self.neighborhoods) > self.nodes:
            raise ValueError(f"locations and neighborhoods at most nodes={self.nodes}")
        if self.nested and self.neighborhoods > self.locations:
            raise ValueError(f"neighborhoods={self.neighborhoods} at most locations={self.locations}, or nested: false")
        if self.dependent_services > replicated or (self.dependencies and not self.dependent_services):
            raise ValueError(
                f"dependent_services at most replicated_services={replicated}, 1 or more with dependencies"
            )
        return self

    @model_validator(mode="after")
    def _resources_fit(self) -> ReassignmentParams:
        count = self.resources
        for name in ("tightness", "safety", "requirement_quantiles"):
            if len(getattr(self, name)) not in (1, count):
                raise ValueError(f"{name} has 1 entry or one for each of the {count} resources")
        if not all(0 < value <= 1 for value in self.tightness):
            raise ValueError(f"tightness above 0, at most 1; got {self.tightness}")
        if not all(0 <= value <= 1 for value in self.safety):
            raise ValueError(f"safety from 0 to 1; got {self.safety}")
        for row in self.requirement_quantiles:
            if len(row) < 2 or row[0] < 0 or row[-1] >= INTEGER_LIMIT or any(a > b for a, b in pairwise(row)):
                raise ValueError(
                    "each of requirement_quantiles: 2 numbers or more from 0 to below 2**53, none below the one before"
                )
        matrix = self.requirement_correlation
        square = len(matrix) == count and all(len(row) == count for row in matrix)
        if matrix and not (square and all(matrix[k][k] == 1 for k in range(count))):
            raise ValueError(f"requirement_correlation has {count} rows of {count} numbers with diagonal 1, or none")
        if any(not (0 <= a < count and 0 <= b < count and t >= 0 and w >= 0) for a, b, t, w in self.balances):
            raise ValueError(f"balances: two resources from 0 to {count - 1}, target and weight of 0 or more")
        if min(self.node_move_costs) < 0:
            raise ValueError(f"node_move_costs of 0 or more; got {self.node_move_costs}")
        return self


TINY_PARAMS = ReassignmentParams(
    nodes=4,
    processes=12,
    services=8,
    replicated_services=3,
    replicas_max=3,
    transient=(False, True),
    locations=2,
    neighborhoods=2,
    dependencies=2,
    dependent_services=1,
)
"""Small enough for exact methods."""
LARGEST_PARAMS = ReassignmentParams(
    nodes=1000,
    processes=50_000,
    services=45_030,
    replicated_services=1000,
    replicas_max=10,
    transient=(*(True,) * 4, *(False,) * 8),
    locations=50,
    neighborhoods=5,
    dependencies=15_000,
    dependent_services=1000,
)
"""The largest counts of the challenge's sets B and X."""
