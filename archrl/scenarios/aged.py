"""`AgedPlacement`: a cluster in the middle of its life, as the input of one rebalancing episode.

Requests run on nodes where some placer once put them, and further requests will arrive. The scenario holds the R
running requests first, in order of arrival, then those that follow; nothing of the past is needed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.errors import InfeasibleError, ScenarioError
from archrl.scenarios.placement import NO_GROUP, IntArray, PlacementScenario
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE


@dataclass(frozen=True)
class AgedPlacement:
    """Running requests with their nodes and GPU slots, and the arrivals that follow.

    Raises:
        ScenarioError: a column has another length, a value is out of range, or a request has left already.
        InfeasibleError: the placement breaks a hard constraint.
    """

    scenario: PlacementScenario  # the R running requests, then those that follow
    node_idx: IntArray  # (R,) node of each running request
    slots: IntArray  # (R,) bit mask of the GPU slots that it has taken

    def __post_init__(self) -> None:
        count, nodes = len(self.node_idx), len(self.scenario.nodes)
        if not 1 <= count <= len(self.scenario) or len(self.slots) != count:
            raise ScenarioError(
                f"AgedPlacement: {count} nodes and {len(self.slots)} slot masks for {len(self.scenario)} requests; "
                "allowed is one of each for every running request, at least one and at most all; correct the input"
            )
        outside = (self.node_idx < 0) | (self.node_idx >= nodes)
        if outside.any():
            row = int(outside.argmax())
            raise ScenarioError(
                f"AgedPlacement.node_idx[{row}] = {self.node_idx[row]}; allowed are 0 to {nodes - 1}; correct the input"
            )
        gone = self.scenario.departure_s[:count] <= self.now_s
        if gone.any():
            row = int(gone.argmax())
            raise ScenarioError(
                f"AgedPlacement: request {row} left at {self.scenario.departure_s[row]} s, now is {self.now_s} s; "
                "leave out what does not run any more"
            )
        self._check_capacity()
        self._check_slots()
        self._check_groups()

    def __len__(self) -> int:
        return len(self.node_idx)

    @property
    def now_s(self) -> float:
        """The moment of the snapshot: the next arrival, or the end when none follows, seconds."""
        count = len(self.node_idx)
        return float(self.scenario.arrival_s[count] if count < len(self.scenario) else self.scenario.end_s)

    @property
    def spec_idx(self) -> IntArray:
        """(R,) specification of each running request."""
        return self.scenario.spec_idx[: len(self)]

    @property
    def remaining_s(self) -> NDArray[np.float64]:
        """(R,) seconds until each running request leaves; inf: never."""
        return self.scenario.departure_s[: len(self)] - self.now_s

    def fingerprint(self) -> str:
        """SHA-256 of everything that a policy could meet."""
        parts = [array.astype(np.int64).tobytes() for array in (self.node_idx, self.slots)]
        return hashlib.sha256(self.scenario.fingerprint().encode() + b"".join(parts)).hexdigest()

    def _check_capacity(self) -> None:
        nodes, specs = self.scenario.nodes, self.scenario.catalogue
        for field in ("cpu_milli", "mem_mib"):
            used = np.bincount(self.node_idx, getattr(specs, field)[self.spec_idx], len(nodes))
            self._require(used <= getattr(nodes, field), field, used)

    def _check_slots(self) -> None:
        nodes, specs, spec = self.scenario.nodes, self.scenario.catalogue, self.spec_idx
        taken = (self.slots[:, None] >> np.arange(MAX_GPUS_PER_NODE)) & 1
        wrong = (taken.sum(axis=1) != specs.gpu_count[spec]) | (self.slots >> MAX_GPUS_PER_NODE != 0)
        if wrong.any():
            row = int(wrong.argmax())
            raise ScenarioError(
                f"AgedPlacement.slots[{row}] = {self.slots[row]:#b}; allowed is one of the lowest {MAX_GPUS_PER_NODE} "
                f"bits for each of the {specs.gpu_count[spec[row]]} GPUs of the request; correct the input"
            )
        used = np.zeros((len(nodes), MAX_GPUS_PER_NODE), np.int64)
        np.add.at(used, self.node_idx, taken * specs.gpu_milli[spec][:, None])
        room = np.where(np.arange(MAX_GPUS_PER_NODE) < nodes.gpu_count[:, None], GPU_MILLI, 0)
        self._require(np.all(used <= room, axis=1), "gpu_milli", used.max(axis=1))
        kind = np.maximum(nodes.gpu_type_idx[self.node_idx], 0)
        allowed = ((specs.gpu_type_mask[spec] >> kind) & 1 == 1) | (specs.gpu_count[spec] == 0)
        if not allowed.all():
            row = int(allowed.argmin())
            raise InfeasibleError(
                f"AgedPlacement: request {row} is on node {self.node_idx[row]}, whose GPU type it does not allow"
            )

    def _check_groups(self) -> None:
        specs, spec = self.scenario.catalogue, self.spec_idx
        for group in np.unique(specs.group_idx[spec]):
            members = specs.group_idx[spec] == group
            if group != NO_GROUP:
                on_node = np.bincount(self.node_idx[members], minlength=len(self.scenario.nodes))
                most = np.zeros(len(on_node), np.int64)
                np.maximum.at(most, self.node_idx[members], specs.group_limit[spec[members]])
                self._require(on_node <= most, f"anti-affinity group {group}", on_node)

    def _require(self, holds: Any, what: str, used: NDArray[Any]) -> None:
        if not holds.all():
            node = int(holds.argmin())
            raise InfeasibleError(
                f"AgedPlacement: node {node} ({self.scenario.nodes.name[node]!r}) holds {used[node]:g} of {what}, more "
                "than it may; correct node_idx or slots"
            )
