"""What can be tuned about an autoscaler: declared parameters, and the check of values that are given."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from archrl.config import closest_match
from archrl.errors import ConfigError

Kind = Literal["float", "int", "choice"]
Value = float | int | str
Params = Mapping[str, Value]


@dataclass(frozen=True)
class Param:
    """One parameter: a number from `low` to `high`, or one of `choices`."""

    name: str
    low: float = 0.0
    high: float = 0.0
    kind: Kind = "float"
    default: Value = 0.0
    choices: tuple[Value, ...] = ()
    doc: str = ""

    def __post_init__(self) -> None:
        self.check(self.default, "Param")

    @property
    def allowed(self) -> str:
        """What a value may be, in words."""
        if self.kind == "choice":
            return ", ".join(map(repr, self.choices))
        return f"{'a whole number' if self.kind == 'int' else 'a number'} from {self.low:g} to {self.high:g}"

    def check(self, value: Any, where: str) -> Value:
        """The value.

        Raises:
            ConfigError: it is not allowed.
        """
        if not self._fits(value):
            close = closest_match(str(value), map(str, self.choices)) if isinstance(value, str) else ""
            raise ConfigError(f"{where}.{self.name}: got {value!r}; allowed: {self.allowed}{close}")
        return value  # type: ignore[no-any-return]

    def _fits(self, value: Any) -> bool:
        if self.kind == "choice":
            return any(type(value) is type(choice) and value == choice for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int if self.kind == "int" else int | float):
            return False
        return bool(self.low <= value <= self.high)


def choice(name: str, choices: tuple[Value, ...], default: Value, doc: str) -> Param:
    """A parameter with a few values."""
    return Param(name, kind="choice", choices=choices, default=default, doc=doc)


def resolve(where: str, space: Sequence[Param], given: Params | None) -> dict[str, Value]:
    """All parameters of a space: the defaults, and what is given instead.

    Args:
        where: Name of the policy, for messages.
        space: What there is.
        given: Some of it.

    Raises:
        ConfigError: an unknown name, or a value that is not allowed.
    """
    known = {param.name: param for param in space}
    values = {name: param.default for name, param in known.items()}
    for name, value in (given or {}).items():
        if name not in known:
            allowed = ", ".join(known) or "none, the policy has no parameters"
            raise ConfigError(f"{where}: unknown parameter {name!r}{closest_match(name, known)}; allowed: {allowed}")
        values[name] = known[name].check(value, where)
    return values


def extra_module(name: str, extra: str, user: str) -> Any:
    """A module that an extra brings.

    Args:
        name: Import name.
        extra: Extra of the package archrl.
        user: What needs it, for the message.

    Raises:
        ImportError: it is not installed.
    """
    package = name.partition(".")[0]
    try:
        importlib.import_module(package)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        message = f"{package} is not installed; {user} needs the extra {extra!r}: pip install 'archrl[{extra}]'"
        raise ImportError(message, name=package) from error


WINDOW_DOWN = choice(
    "window_down_s", (0, 15, 30, 60, 120, 180, 300, 600), 300, "stabilisation window for scaling down, s"
)
WINDOW_UP = choice("window_up_s", (0, 15, 30), 0, "stabilisation window for scaling up, s")
TOLERANCE = Param("tolerance", 0.0, 0.2, default=0.1, doc="relative distance from the target at which nothing is done")
WAITS = Param("most_waits", 0.005, 0.6, default=0.2, doc="largest probability that a request waits, Erlang C")
LEAD = Param("lead_steps", 1, 8, "int", 3, doc="steps from the measurement in hand to the demand that is planned for")
MARGIN = Param("margin", 0.0, 1.0, default=0.2, doc="share that is added to the arrivals that are planned for")


def actuator_fields(params: Params, exact: bool = False) -> dict[str, Any]:
    """Fields of `AutoscaleConfig` for the rules of the HPA that are among the parameters.

    Args:
        params: Of a policy.
        exact: No tolerance: the policy's numbers of replicas are carried out as they are.
    """
    fields: dict[str, Any] = {name: params[name] for name in ("window_down_s", "window_up_s") if name in params}
    if exact:
        return fields | {"tolerance_down": 0.0, "tolerance_up": 0.0}
    if "tolerance" in params:
        fields |= {"tolerance_down": float(params["tolerance"]), "tolerance_up": float(params["tolerance"])}
    return fields
