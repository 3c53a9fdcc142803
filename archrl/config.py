"""Configuration: YAML -> frozen, strict, typed values; overrides `key=value`; dump of the resolved configuration.

A configuration class derives from `Config`. Its fields are the only definition of keys, types, limits and defaults:

    class TrainConfig(Config):
        learning_rate: float = Field(3e-4, gt=0)
        layers: tuple[int, ...] = (64, 64)

    config = load_config("configs/agent/ppo.yaml", TrainConfig, ["learning_rate=1e-4", "layers=[32]"])

YAML is data only, read with the scalars of YAML 1.2: `3e-4` is a number; `yes`, `on` and `12:30` are text, and so is
`010`, which the two versions of YAML read as different numbers. A key given twice is an error. Lists stand for tuples;
nothing else is converted: `"3"` is no integer, `1` no boolean.

References:
    YAML 1.2.2, section 10.3 "Core Schema". Pydantic documentation, "Strict Mode".
"""

from __future__ import annotations

import difflib
import json
import numbers
import os
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from archrl.errors import ConfigError
from archrl.files import write_text_atomic


class Config(BaseModel):
    """Base class of every configuration: strict types, frozen, unknown keys forbidden, defaults validated, no NaN.

    Use tuples for sequences, so that the value cannot change. `load_config` reports errors as `ConfigError`; calling
    the class directly raises pydantic's `ValidationError`.
    """

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        ser_json_inf_nan="constants",
        use_attribute_docstrings=True,
    )


ConfigT = TypeVar("ConfigT", bound=Config)
Source = str | os.PathLike[str] | Mapping[str, Any]


def load_config(source: Source, cls: type[ConfigT], overrides: Sequence[str] = ()) -> ConfigT:
    """Read, override and validate a configuration.

    Args:
        source: A YAML file, or a mapping that stands for one.
        cls: The class to build.
        overrides: `"key=value"` or `"group.key=value"`, applied in order; the value is YAML. An override into a group
            that the source leaves out starts from that group's defaults.

    Raises:
        ConfigError: The file cannot be read, an override has no `key=value` form, or a value is not allowed. The
            message names file, field, value and what is allowed; for an unknown key the closest known one.
    """
    name = "a mapping" if isinstance(source, Mapping) else os.fspath(source)
    data = _plain(source if isinstance(source, Mapping) else _read_mapping(Path(source)), ())
    for override in overrides:
        _apply_override(data, cls, override)
    try:
        return cls.model_validate_json(json.dumps(data))
    except ValidationError as error:
        where = f"{cls.__name__} from {name}" + (f" with overrides {', '.join(overrides)}" if overrides else "")
        problems = sorted({_describe(item, data, cls) for item in error.errors(include_url=False)})
        raise ConfigError(f"configuration {where} is not allowed:\n  " + "\n  ".join(problems)) from error


def to_dict(config: Config) -> dict[str, Any]:
    """Return the configuration as plain dicts, lists and scalars, every default filled in."""
    return config.model_dump(mode="json")


def dump_config(config: Config, path: str | os.PathLike[str]) -> None:
    """Write the resolved configuration as YAML that `load_config` reads back to an equal value.

    Raises:
        ArchrlError: The file cannot be written; a file that was there before is kept.
    """
    write_text_atomic(path, yaml.dump(to_dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def json_schema(cls: type[Config]) -> dict[str, Any]:
    """Return the JSON schema of a configuration class, for completion and checks in an editor."""
    return cls.model_json_schema()


def closest_match(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the known word closest to `word`, or nothing if none is close."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""


class _Loader(yaml.SafeLoader):
    """Safe loader with the scalars of YAML 1.2 that refuses a key given twice."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own protocol

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            if key_node.value in seen:
                problem = f"key {key_node.value!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key_node.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


class _Dumper(yaml.SafeDumper):
    """Safe dumper that quotes whatever YAML 1.1 or 1.2 would not read as text."""


_EXPONENT = r"[eE][-+]?[0-9]+"
_FLOAT = re.compile(
    rf"[-+]?([0-9]*\.[0-9]+|[0-9]+\.)({_EXPONENT})?$|[-+]?[0-9]+{_EXPONENT}$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9_]*)$|0x[0-9a-fA-F]+$"), list("-+0123456789")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{where} is no valid YAML: {' '.join(str(error).split())}") from error


def _read_mapping(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        siblings = [item.name for item in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        raise ConfigError(f"configuration file {path} does not exist{closest_match(path.name, siblings)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration file {path} cannot be read as UTF-8 text: {error}") from error
    data = _parse(text, f"configuration file {path}")
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise ConfigError(
            f"configuration file {path}: got a {type(data).__name__}; allowed: a mapping of keys to values"
        )
    return data


def _plain(value: Any, path: tuple[str, ...]) -> Any:
    """Copy `value` into what JSON can hold; refuse everything that would have to be guessed."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        bad = [key for key in value if isinstance(key, bool) or not isinstance(key, str | int)]
        if not bad:
            return {str(key): _plain(item, (*path, str(key))) for key, item in value.items()}
        raise ConfigError(f"{'.'.join(path) or 'top level'}: got the key {bad[0]!r}; allowed: text or an integer")
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, str(index))) for index, item in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise ConfigError(
        f"{'.'.join(path)}: got {reprlib.repr(value)} ({type(value).__name__}); "
        "allowed: text, numbers, booleans, null, and lists and mappings of them"
    )


def _apply_override(data: dict[str, Any], cls: type[Config], override: str) -> None:
    key, separator, value = override.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(f"override: got {override!r}; allowed: key=value or group.key=value")
    node = data
    for depth, part in enumerate(parts[:-1], start=1):
        if node.get(part) is None:
            node[part] = _default_group(cls, parts[:depth])
        node = node[part]
        if not isinstance(node, dict):
            group = ".".join(parts[:depth])
            raise ConfigError(
                f"override {override!r}: {group} has the value {reprlib.repr(node)} and no keys in it; "
                f"override it as a whole: {group}=..."
            )
    node[parts[-1]] = _plain(_parse(value, f"the value of override {override!r}"), tuple(parts))


def _default_group(cls: type[Config], parts: list[str]) -> dict[str, Any]:
    for model in _models_at(cls, parts[:-1]):
        if parts[-1] in model.model_fields:
            default = model.model_fields[parts[-1]].get_default(call_default_factory=True)
            if isinstance(default, BaseModel | Mapping):
                group: dict[str, Any] = _plain(default, tuple(parts))
                return group
    return {}


def _models_at(cls: type[BaseModel], location: Sequence[int | str]) -> list[type[BaseModel]]:
    """Return the models that can stand at `location`, a path of field names, indices and the tags of unions."""
    models = [cls]
    for part in location:
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        if fields:
            models = [model for field in fields for model in _models_in(field.annotation)]
        else:
            models = [model for model in models if _answers_to(model, part)] or models
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _answers_to(model: type[BaseModel], tag: int | str) -> bool:
    return model.__name__ == tag or any(tag in get_args(field.annotation) for field in model.model_fields.values())


def _describe(error: Any, data: dict[str, Any], cls: type[Config]) -> str:
    """Say in one line what is wrong with a field, from one entry of `ValidationError.errors()`."""
    location, kind, value = error["loc"], error["type"], error["input"]
    field = _field_path(location, data, cls, kind)
    if kind == "missing":
        return f"{field}: is missing; give it a value"
    got = f"got {reprlib.repr(value)} ({type(value).__name__})"
    if kind == "extra_forbidden":
        known = sorted({name for model in _models_at(cls, location[:-1]) for name in model.model_fields})
        return f"{field}: unknown key, {got}{closest_match(str(location[-1]), known)}; allowed: {', '.join(known)}"
    allowed = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    choices = (
        re.findall(r"'([^']*)'", error.get("ctx", {}).get("expected", "")) if kind in ("literal_error", "enum") else []
    )
    return f"{field}: {got}; allowed: {allowed}{closest_match(str(value), choices)}"


def _field_path(location: Sequence[int | str], data: Any, cls: type[Config], kind: str) -> str:
    """Return the dotted path as the user wrote it: pydantic's location without the tags of unions."""
    parts = []
    for depth, part in enumerate(location):
        if isinstance(data, dict) and part in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif any(part in model.model_fields for model in _models_at(cls, location[:depth])):
            data = None
        elif kind != "missing" or depth < len(location) - 1:
            continue
        parts.append(str(part))
    return ".".join(parts) or "the configuration as a whole"
