"""Parameters of the synthetic generator: what `synthetic_fit` estimates, and what an experimenter chooses."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from archrl.config import Config
from archrl.scenarios.arrivals import ArrivalProcess
from archrl.scenarios.mixture import LogNormalMixture
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE

LifetimeClass = Literal["cpu_only", "shared_gpu", "one_gpu", "multi_gpu"]
LIFETIME_CLASSES: tuple[LifetimeClass, ...] = get_args(LifetimeClass)
"""No GPU, a share of one, one, more than one."""


class RequestType(Config):
    """A request size and how popular it is."""

    cpu_milli: int = Field(ge=0)
    mem_mib: int = Field(ge=0)
    gpu_count: int = Field(ge=0, le=MAX_GPUS_PER_NODE)
    gpu_milli: int = Field(ge=0, le=GPU_MILLI)
    """Per GPU: 0 without GPU, 1..999 a share of one GPU, 1000 whole GPUs."""
    share: float = Field(gt=0, le=1)
    """Share of the requests."""

    def lifetime_class(self) -> LifetimeClass:
        """Size class that decides the lifetime distribution."""
        if self.gpu_count == 0:
            return "cpu_only"
        if self.gpu_milli < GPU_MILLI:
            return "shared_gpu"
        return "one_gpu" if self.gpu_count == 1 else "multi_gpu"


class NodeType(Config):
    """A node size and how frequent it is."""

    cpu_milli: int = Field(ge=0)
    mem_mib: int = Field(ge=0)
    gpu_count: int = Field(ge=0, le=MAX_GPUS_PER_NODE)
    gpu_type: str
    """Empty without GPU."""
    share: float = Field(gt=0, le=1)
    """Share of the nodes."""


class TypeConstraint(Config):
    """A set of GPU types that requests name, and how popular it is among the requests that name any."""

    gpu_types: tuple[str, ...] = Field(min_length=1)
    share: float = Field(gt=0, le=1)


class Lifetimes(Config):
    """Lifetime distribution of each size class."""

    cpu_only: LogNormalMixture
    shared_gpu: LogNormalMixture
    one_gpu: LogNormalMixture
    multi_gpu: LogNormalMixture


class SyntheticParams(Config):
    """Everything that is fitted to a trace."""

    origin: str
    """Which trace, and by what the parameters were estimated."""
    request_types: tuple[RequestType, ...] = Field(min_length=1)
    type_constraints: tuple[TypeConstraint, ...]
    node_types: tuple[NodeType, ...] = Field(min_length=1)
    lifetimes: Lifetimes
    batch_correlation: float = Field(ge=0, lt=1)
    """Correlation of the normal scores of the lifetimes in a batch (Gaussian copula); the marginals are unchanged."""
    arrivals: ArrivalProcess

    @model_validator(mode="after")
    def _shares(self) -> SyntheticParams:
        for name in ("request_types", "type_constraints", "node_types"):
            total = sum(entry.share for entry in getattr(self, name))
            if getattr(self, name) and abs(total - 1.0) > 1e-6:
                raise ValueError(f"{name} with shares that sum to 1; the sum is {total:.6g}")
        return self


class RequestOptions(Config):
    """What the trace does not say about its requests; chosen by the experimenter."""

    typed_frac: float = Field(0.33, ge=0, le=1)
    """Share of the GPU requests that name GPU types (about 33 % in the production cluster of openb)."""
    high_priority_frac: float = Field(0.0, ge=0, le=1)
    """Share of the requests with priority 1: may be rejected only when they fit nowhere."""
    grouped_frac: float = Field(0.0, ge=0, le=1)
    """Share of the requests in an anti-affinity group; each request specification is one group."""
    group_limit: int = Field(1, ge=1)
    """Most requests of one group on one node."""
