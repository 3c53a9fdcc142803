"""Pages that cannot drift: every Python block runs, every command exists, generated parts are what the sources say."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from archrl.cluster.rebalance_state import DESTINATION_FEATURES, PROCESS_FEATURES, SUMMARY_FEATURES
from archrl.cluster.service_schema import CLUSTER_FEATURES, SERVICE_FEATURES
from archrl.config import load_config
from archrl.envs import autoscale, autoscale_config, placement, rebalance, rebalance_config
from archrl.envs.autoscale_config import AutoscaleConfig
from archrl.envs.rebalance_config import RebalanceConfig
from archrl.errors import ConfigError
from archrl.evaluation.experiment import run_experiment
from archrl.evaluation.experiment_config import ExperimentConfig
from archrl.evaluation.pages import PUBLISHED, fill_blocks, generated, placement_page, publish, results_block
from archrl.scenarios.demand_recorded import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
WRITTEN = [page for page in PAGES if page.name != "placement.md"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


def commands() -> list[str]:
    lines = [
        line.partition("#")[0].strip()
        for page in PAGES
        for block in blocks(page, "bash")
        for line in block.splitlines()
    ]
    return sorted({line for line in lines if line})


@pytest.mark.parametrize("page", [page for page in WRITTEN if blocks(page, "python")], ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    """All blocks of a page, in order, in one interpreter that knows nothing else."""
    code = "\n\n".join(blocks(page, "python"))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error:::archrl"}
    (tmp_path / "page.py").write_text(code)
    result = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_the_pages_have_code_and_commands() -> None:
    named = {"README.md", "add_an_environment.md", "plug_in_your_policy.md", "benchmarking.md", "autoscaling.md"}
    named |= {"rebalancing.md"}
    assert named <= {p.name for p in PAGES}
    assert sum(len(blocks(page, "python")) for page in WRITTEN) >= 7
    assert len(commands()) >= 10


def test_readme_example_is_short_and_the_policy_shorter() -> None:
    example, policy = blocks(ROOT / "README.md", "python")
    assert len([line for line in example.splitlines() if line]) <= 15
    assert len([line for line in policy.partition("class")[2].splitlines() if line]) <= 10


@pytest.mark.parametrize("command", commands())
def test_commands_exist_with_the_options_that_are_shown(command: str) -> None:
    words = shlex.split(command)
    if words[0] == "pip":
        assert (ROOT / "constraints.txt").exists()
        return
    if words[0] == "source":
        assert words[1:] == [".venv/bin/activate"], "what scripts/setup makes"
        return
    script, arguments = (words[0], words[1:]) if words[0] != "python" else (words[2], words[3:])
    if words[0] == "python":
        help_of = [sys.executable, "-m", script, *arguments[:1], "--help"]
    elif script.endswith(".py"):
        help_of = [str(ROOT / script), "--help"]
    else:
        assert os.access(ROOT / script, os.X_OK)
        return
    active = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(help_of, capture_output=True, text=True, check=False, env=os.environ | active)
    assert result.returncode == 0, result.stderr
    for option in (word for word in arguments if word.startswith("--")):
        assert option in result.stdout


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_configurations_and_links_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"configs/[\w/]+\.yaml", text))
    linked = {target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in target}
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert [name for name in linked if not (page.parent / name).exists()] == []


def test_generated_files_are_up_to_date() -> None:
    stale = [path.name for path, text in generated(ROOT).items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run scripts/render_docs.py"


def test_page_of_the_environment_is_its_docstring_and_every_field() -> None:
    page = placement_page()
    assert placement.__doc__ is not None
    assert placement.__doc__.strip() in page
    for name in ("num_nodes", "offered_load", "slot_choice"):
        assert f"| `{name}` |" in page


def test_page_of_autoscaling_has_the_docstring_every_field_preset_and_family() -> None:
    page = (ROOT / "docs/autoscaling.md").read_text(encoding="utf-8")
    assert str(autoscale.__doc__).strip() in page
    for name in (*AutoscaleConfig.model_fields, *autoscale_config.PRESETS, *FAMILIES):
        assert f"| `{name}` |" in page
    for name in (*SERVICE_FEATURES, *CLUSTER_FEATURES):
        assert f"`{name}`" in page


def test_page_of_rebalancing_has_the_docstring_every_field_and_preset() -> None:
    page = (ROOT / "docs/rebalancing.md").read_text(encoding="utf-8")
    assert str(rebalance.__doc__).strip() in page
    for name in (*RebalanceConfig.model_fields, *rebalance_config.PRESETS):
        assert f"| `{name}` |" in page
    for name in (*PROCESS_FEATURES, *DESTINATION_FEATURES, *SUMMARY_FEATURES):
        assert f"`{name}`" in page


def test_blocks_are_replaced_and_a_lost_one_is_an_error() -> None:
    text = "a\n<!-- begin: x -->\nold\n<!-- end: x -->\nb\n"
    filled = fill_blocks(text, {"x": "new \\1"})
    assert filled == "a\n<!-- begin: x -->\nnew \\1\n<!-- end: x -->\nb\n"
    assert fill_blocks(filled, {"x": "new \\1"}) == filled
    with pytest.raises(ConfigError, match="no block 'y'"):
        fill_blocks(text, {"y": ""})


def test_without_committed_results_the_page_says_so(tmp_path: Path) -> None:
    assert "No results" in results_block(tmp_path, "docs/results")


def test_committed_results_become_picture_table_and_caption(tmp_path: Path) -> None:
    fields = {"preset": "toy", "tuning": {"scenarios": 0}, "bounds": {"method": "none"}, "test_scenarios": 1}
    fields |= {"heuristics": [{"name": "best_fit"}, {"name": "worst_fit"}], "resamples": 20}
    report = run_experiment(load_config(fields, ExperimentConfig), tmp_path)
    picture, table, caption = results_block(tmp_path, "docs/results").split("\n\n")
    assert picture.endswith("(docs/results/cost.png)")
    assert (tmp_path / "cost.png").exists()
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == [f"| {name}" for name in report.table["policy"]]
    assert caption.startswith("experiment: policies on archrl/Placement-v0")
    assert len({line.count(" | ") for line in table.splitlines()}) == 1


def test_publishing_copies_a_finished_experiment_or_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "run", tmp_path / "docs"
    source.mkdir()
    (source / "table.csv").write_text("a")
    with pytest.raises(ConfigError, match=r"lacks config\.yaml"):
        publish(source, target)
    assert not target.exists()
    for name in PUBLISHED:
        (source / name).write_text(name)
    publish(source, target)
    assert {path.name: path.read_text() for path in target.iterdir()} == {name: name for name in PUBLISHED}
