from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator

from archrl.config import Config, dump_config, json_schema, load_config, to_dict
from archrl.errors import ArchrlError, ConfigError


class Ppo(Config):
    kind: Literal["ppo"] = "ppo"
    learning_rate: float = Field(3e-4, gt=0)
    gamma: float = Field(0.99, ge=0, le=1)


class Dqn(Config):
    kind: Literal["dqn"] = "dqn"
    epsilon: float = 0.1


class Experiment(Config):
    name: str
    agent: Annotated[Ppo | Dqn, Field(discriminator="kind")] = Ppo(gamma=0.5)
    layers: tuple[int, ...] = (64, 64)
    span: tuple[int, float] = (1, 2.0)
    mask: bool = True
    split: Literal["train", "validation", "test"] = "train"
    prices_usd: dict[str, float] = {"cpu": 0.04, "gpu": 2.0}
    output: Path | None = None
    stages: tuple[Dqn, ...] = ()

    @field_validator("name")
    @classmethod
    def _no_blanks(cls, value: str) -> str:
        if " " in value:
            raise ValueError("a name without blanks")
        return value


def load(text: str, tmp_path: Path, *overrides: str) -> Experiment:
    path = tmp_path / "experiment.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, Experiment, overrides)


def test_lists_stand_for_tuples_and_defaults_are_filled_in(tmp_path):
    config = load("name: a\nlayers: [8, 16]\nspan: [3, 4]\noutput: runs/a\nstages: [{kind: dqn}]", tmp_path)
    assert config == Experiment(
        name="a", layers=(8, 16), span=(3, 4.0), output=Path("runs/a"), stages=(Dqn(),), agent=Ppo(gamma=0.5)
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("3e-4", 3e-4), ("1e6", 1e6), ("1_000", 1000.0), (".5", 0.5), ("-2.", -2.0), ("+7", 7.0), ("0x10", 16.0)],
)
def test_numbers_of_yaml_1_2(text, value, tmp_path):
    assert load(f"name: a\nprices_usd: {{x: {text}}}", tmp_path).prices_usd == {"x": value}


@pytest.mark.parametrize("text", ["yes", "on", "12:30", "2026-01-02", "007", "=", "<<", "1.2.3", "1e", "0o17"])
def test_what_yaml_1_1_would_convert_stays_text(text, tmp_path):
    assert load(f"name: {text}", tmp_path).name == text


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["layers=[32]"], {"layers": [32]}),
        (["name=b", "name=c"], {"name": "c"}),
        (["mask=false"], {"mask": False}),
        (["prices_usd.gpu=3"], {"prices_usd": {"cpu": 0.04, "gpu": 3.0}}),
        (["agent.learning_rate=1e-3"], {"agent": {"kind": "ppo", "learning_rate": 1e-3, "gamma": 0.5}}),
        (["agent={kind: dqn, epsilon: 0.2}"], {"agent": {"kind": "dqn", "epsilon": 0.2}}),
        (["output="], {"output": None}),
        (["name='a=b'"], {"name": "a=b"}),
    ],
)
def test_an_override_changes_its_key_and_nothing_else(overrides, expected):
    before = to_dict(load_config({"name": "a"}, Experiment))
    assert to_dict(load_config({"name": "a"}, Experiment, overrides)) == before | expected


def test_overrides_leave_the_mapping_alone():
    source = {"name": "a", "agent": {"kind": "ppo"}}
    load_config(source, Experiment, ["agent.gamma=0.1", "name=b"])
    assert source == {"name": "a", "agent": {"kind": "ppo"}}


BAD = [
    ({"nam": "a"}, [], r"nam: unknown key, got 'a' \(str\); did you mean 'name'\?; allowed: agent, .*stages"),
    ({}, [], "name: is missing"),
    (
        {"name": "a", "agent": {"kind": "ppo", "gama": 1}},
        [],
        "agent.gama: unknown key.*mean 'gamma'.*: gamma, kind, lea",
    ),
    ({"name": "a", "agent": {"kind": "dqn", "epsilom": 1}}, [], "agent.epsilom: .*'epsilon'.*allowed: epsilon, kind$"),
    ({"name": "a", "agent": {"kind": "sac"}}, [], "agent: got .*'sac'.*'ppo', 'dqn'"),
    (
        {"name": "a"},
        ["agent.gamma=2"],
        r"overrides agent.gamma=2 .*agent.gamma: got 2 .*allowed: less than or equal to 1",
    ),
    ({"name": "a", "layers": [1, "2"]}, [], r"layers.1: got '2' \(str\); allowed: a valid integer"),
    ({"name": "a", "layers": [1, 2.0]}, [], r"layers.1: got 2.0 \(float\)"),
    ({"name": "a", "layers": [True]}, [], r"layers.0: got True \(bool\)"),
    ({"name": "a", "mask": 1}, [], r"mask: got 1 \(int\); allowed: a valid boolean"),
    ({"name": 3}, [], r"name: got 3 \(int\); allowed: a valid string"),
    ({"name": "a b"}, [], "name: got 'a b' .*allowed: a name without blanks"),
    ({"name": "a", "split": "trian"}, [], "split: got 'trian'.*'train', 'validation' or 'test'; did you mean 'train'"),
    ({"name": "a", "span": [1]}, [], "span.1: is missing"),
    (
        {"name": "a", "prices_usd": {"x": float("nan")}},
        [],
        r"prices_usd.x: got nan \(float\); allowed: a finite number",
    ),
    ({"name": "a", "prices_usd": {"x": float("inf")}}, [], "prices_usd.x: got inf"),
    ({"name": "a", "stages": [{"kind": "dqn", "x": 1}]}, [], "stages.0.x: unknown key"),
    ({"name": "a", "prices_usd": {1.5: 1}}, [], "prices_usd: got the key 1.5"),
    ({"name": "a", "layers": {1, 2}}, [], r"layers: got \{1, 2\} \(set\)"),
    ({"name": "a", "layers": np.zeros(2)}, [], r"layers: got array.* \(ndarray\)"),
    ({"name": "a"}, ["name"], "override: got 'name'; allowed: key=value"),
    ({"name": "a"}, ["agent..gamma=1"], "override: got 'agent..gamma=1'"),
    ({"name": "a"}, ["name.x=1"], "name has the value 'a' and no keys in it"),
    ({"name": "a"}, ["layers=[1"], r"override 'layers=\[1' is no valid YAML"),
    ({"name": "a"}, ["agnt.gamma=1"], "agnt: unknown key.*mean 'agent'"),
]


@pytest.mark.parametrize(("source", "overrides", "message"), BAD, ids=[item[2][:30] for item in BAD])
def test_bad_values_are_named_with_what_is_allowed(source, overrides, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        load_config(source, Experiment, overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "no valid YAML.*line 1"),
        ("name: a\nname: b", "key 'name' is given twice.*line 2, column 1"),
        ("agent: {gamma: 1, gamma: 0}\nname: a", "key 'gamma' is given twice"),
        ("- a", "got a list; allowed: a mapping"),
        ("? [a]\n: b", "unhashable key"),
        ("name: !!python/object:os.system x", "no valid YAML"),
        ("name: a\nlayers: 3", "layers: got 3"),
    ],
)
def test_bad_files_are_named(text, message, tmp_path):
    with pytest.raises(ConfigError, match=f"(?s)experiment.yaml.*{message}"):
        load(text, tmp_path)


def test_missing_file_names_the_closest_one(tmp_path):
    (tmp_path / "small.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"smal.yaml does not exist; did you mean 'small.yaml'\?"):
        load_config(tmp_path / "smal.yaml", Experiment)


def test_file_that_is_no_text(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="x.yaml cannot be read as UTF-8"):
        load_config(tmp_path / "x.yaml", Experiment)


def test_empty_file_means_all_defaults(tmp_path):
    (tmp_path / "x.yaml").write_text("# nothing set\n")
    assert load_config(tmp_path / "x.yaml", Ppo) == Ppo()


def test_values_are_frozen():
    config = load_config({"name": "a"}, Experiment)
    with pytest.raises(ValidationError, match="frozen"):
        config.name = "b"


def test_a_default_that_breaks_its_own_limit_is_refused():
    class Wrong(Config):
        rate: float = Field(-1.0, gt=0)

    with pytest.raises(ConfigError, match="rate: got -1.0"):
        load_config({}, Wrong)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda text: " " not in text)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(
    name=TEXT | st.sampled_from(["1e6", "yes", "null", "~", "", "007", "0x1F", "12:30", ".nan", "-", "<<", "a: b"]),
    prices=st.dictionaries(TEXT, FINITE, max_size=3),
    layers=st.lists(st.integers(-(2**62), 2**62), max_size=3).map(tuple),
    agent=st.builds(Ppo, gamma=st.floats(0, 1)) | st.builds(Dqn, epsilon=FINITE),
    output=st.none() | st.sampled_from(["a", "/b/c", "../d"]).map(Path),
)
def test_dump_and_load_give_the_same_value(tmp_path_factory, name, prices, layers, agent, output):
    name = name.replace(" ", "")
    config = Experiment(name=name, prices_usd=prices, layers=layers, agent=agent, output=output)
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    dump_config(config, path)
    assert load_config(path, Experiment) == config


@given(number=FINITE, text=TEXT)
def test_other_yaml_readers_see_the_same_dump(tmp_path_factory, number, text):
    path = tmp_path_factory.getbasetemp() / "plain.yaml"
    dump_config(Experiment(name=text, prices_usd={"x": number}), path)
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert read["name"] == text
    assert read["prices_usd"] == {"x": number}


def test_schema_describes_every_field():
    schema = json.loads(json.dumps(json_schema(Experiment)))
    assert set(schema["properties"]) == set(Experiment.model_fields)
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["name"]


def test_dump_into_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchrlError, match="cannot write .*file/config.yaml"):
        dump_config(Ppo(), tmp_path / "file" / "config.yaml")
