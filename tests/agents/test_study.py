"""Studies: several seeds of every agent, trained once, as rows of one experiment."""

from __future__ import annotations

from pathlib import Path

import pytest

from archrl.config import dump_config, load_config
from archrl.errors import ConfigError
from archrl.evaluation.records import read_records
from archrl_agents import run_folder
from archrl_agents.study import StudyConfig, run_study, training
from archrl_agents.train_config import CMAConfig, DQNConfig, PPOConfig

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "papers/placement_small/study.yaml"
LITTLE = {
    "experiment": {"name": "little", "preset": "tiny", "test_scenarios": 2, "resamples": 50, "heuristics": []},
    "agents": [{"name": "linear", "config": "configs/agent/cma_small.yaml", "overrides": {"population": 4}}],
    "scales": {"smoke": {"seeds": 2, "agents": {"linear": {"total_steps": 1, "scenarios": 1, "eval_episodes": 2}}}},
}
LITTLE["experiment"] |= {"bounds": {"method": "none"}, "tuning": {"scenarios": 0}}  # type: ignore[operator]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("repository")
    (root / "configs/agent").mkdir(parents=True)
    (root / "papers/little").mkdir(parents=True)
    source = ROOT / "configs/agent/cma_small.yaml"
    (root / "configs/agent/cma_small.yaml").write_text(source.read_text())
    dump_config(load_config(LITTLE, StudyConfig), root / "papers/little/study.yaml")
    run_study(root / "papers/little/study.yaml", "smoke", root / "results", root / "models")
    return root, root / "results"


def test_every_seed_is_trained_and_played(played: tuple[Path, Path]) -> None:
    root, results = played
    rows = read_records(results / "records.csv")
    assert sorted(rows["training_seed"].unique()) == [0, 1]
    assert set(rows["policy"]) == {"linear"}
    assert len(rows) == 4
    assert sorted(path.name for path in (root / "models").iterdir()) == ["linear-0", "linear-1"]
    assert (results / "learning_linear.png").stat().st_size > 1000


def test_what_is_trained_is_not_trained_again(played: tuple[Path, Path]) -> None:
    root, _ = played
    models = sorted((root / "models").glob(f"*/{run_folder.BEST_LINEAR}"))
    before = [path.stat().st_mtime_ns for path in models]
    run_study(root / "papers/little/study.yaml", "smoke", root / "again", root / "models")
    assert [path.stat().st_mtime_ns for path in models] == before


def test_an_unknown_scale_is_named(played: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="'huge'; allowed: smoke"):
        run_study(played[0] / "papers/little/study.yaml", "huge", played[1], played[1])


def test_training_is_its_file_then_the_study_then_the_scale() -> None:
    study = load_config(FILE, StudyConfig)
    for scale, preset in (("full", "small"), ("smoke", "tiny")):
        experiment, size = study.at(scale)
        found = [training(ROOT, agent, 3, experiment, size) for agent in study.agents]
        assert [type(config) for config in found] == [CMAConfig, PPOConfig, DQNConfig]
        assert {(config.seed, config.preset) for config in found} == {(3, preset)}
        assert [config.name for config in found] == [agent.name for agent in study.agents]
        assert all(experiment.env.items() <= dict(config.env).items() for config in found)
    assert [config.total_steps for config in found] == [2, 256, 256]


def test_the_published_study_has_five_seeds_that_validate_alike() -> None:
    study = load_config(FILE, StudyConfig)
    experiment, size = study.at("full")
    assert size.seeds >= 5
    assert {training(ROOT, agent, 0, experiment, size).eval_seed for agent in study.agents} == {0}
