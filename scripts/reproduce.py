#!/usr/bin/env python
"""Reproduces a paper: plays the runs that are missing, then writes tables, figures and a verdict for every claim.

scripts/reproduce.py fgd_atc23
scripts/reproduce.py fgd_atc23 --scale full
scripts/reproduce.py fgd_atc23 --scale full --resume --agent runs/ppo_openb
scripts/reproduce.py autoscaling/tiny --scale full --out papers/autoscaling/tiny/results
scripts/reproduce.py autoscaling --scale smoke
scripts/reproduce.py autoscaling --rows
scripts/reproduce.py roadef2012 --scale full --resume --out papers/roadef2012/results
scripts/reproduce.py rebalancing --scale full --resume --out papers/rebalancing/results
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from archrl.command import command_line, run_command
from archrl.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
SWEEP, STUDY = "sweep.yaml", "study.yaml"
"""What a paper is made of: runs of the inflation protocol, or agents and one experiment that judges them. A paper of
several studies has each in a folder of its own."""
RESULTS = "results"
"""Folder of what is committed of a study."""
AGENT_FIELDS = ("candidates", "slot_rule", "mix_coverage")
"""Fields of the task that an agent keeps from its training."""


def main(  # noqa: PLR0913 - the options of the command
    paper: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PAPER")],
    scale: str = "smoke",
    overrides: Annotated[tuple[str, ...], tyro.conf.arg(name="set")] = (),
    out: Path | None = None,
    resume: bool = False,
    agent: tuple[Path, ...] = (),
    rows: bool = False,
) -> None:
    """Reproduce a paper.

    Args:
        paper: Folder below papers/, such as fgd_atc23 or autoscaling/tiny; one of several studies stands for all.
        scale: smoke or full, or another scale of the paper's sweep.yaml.
        overrides: key=value for fields of sweep.yaml or study.yaml; group.key=value reaches into a group.
        out: Folder of rows, tables and figures, for several studies one folder in it each; runs/<paper>-<scale> by
            default.
        resume: Continue on the rows that the folder holds (a study always does).
        agent: Training runs (folders) or model files: rows of a trained agent, one training seed each. For roadef2012
            also files of selectors.
        rows: Play nothing; make tables, figures and verdicts again from the rows in `out`, by default those that are
            committed.
    """
    source, folder = ROOT / "papers" / paper, out or Path("runs") / f"{paper}-{scale}"
    studies = studies_in(source)
    for study in studies:
        part = folder_of(study, source, scale, out)
        if rows:
            print(remake_study(study, part if out else study / RESULTS))
        else:
            print(reproduce_study(study, scale, overrides, part))
    if studies:
        return
    if not (source / SWEEP).exists():
        raise ConfigError(f"paper: got {paper!r}; allowed: {', '.join(known_papers())}")
    if rows:
        folder = out or source / RESULTS
        if not (folder / "runs.csv").exists():
            raise ConfigError(f"rows: no runs.csv in {folder}; play the runs first, without --rows")
    else:
        PLAYERS[paper](source / SWEEP, overrides, scale, folder, agent, resume)
    print(publish(paper, source / "expected.yaml", folder))


def play_inflation(
    path: Path, overrides: tuple[str, ...], scale: str, folder: Path, agents: tuple[Path, ...], resume: bool
) -> None:
    """Play what is missing of the inflation protocol, and bound the scenarios."""
    from archrl.evaluation.inflation_bounds import bound_sweep
    from archrl.evaluation.inflation_config import load_sweep
    from archrl.evaluation.inflation_sweep import run_sweep

    sweep = load_sweep(path, overrides)
    run_sweep(sweep, scale, folder, [agent_player(agent) for agent in agents], resume, command_line())
    bound_sweep(sweep, scale, folder)


def play_reassignment(
    path: Path, overrides: tuple[str, ...], scale: str, folder: Path, agents: tuple[Path, ...], resume: bool
) -> None:
    """Play what is missing of the methods for machine reassignment."""
    from archrl.evaluation.reassignment_config import load_reassignment_sweep
    from archrl.evaluation.reassignment_sweep import run_reassignment_sweep

    sweep = load_reassignment_sweep(path, overrides)
    players = [rebalance_player(agent, sweep) for agent in agents]
    run_reassignment_sweep(sweep, scale, folder, players, resume, command_line())


def play_rebalancing(
    path: Path, overrides: tuple[str, ...], scale: str, folder: Path, agents: tuple[Path, ...], resume: bool
) -> None:
    """Play what is missing of the methods on aged states."""
    from archrl.evaluation.rebalancing_config import load_rebalancing_sweep
    from archrl.evaluation.rebalancing_sweep import run_rebalancing_sweep

    sweep = load_rebalancing_sweep(path, overrides)
    run_rebalancing_sweep(sweep, scale, folder, [aged_player(agent) for agent in agents], resume, command_line())


PLAYERS = {"fgd_atc23": play_inflation, "roadef2012": play_reassignment, "rebalancing": play_rebalancing}
"""What plays the runs of a paper's sweep."""


def known_papers() -> list[str]:
    """Papers by name: sweeps, then studies, then those of several studies."""
    papers = ROOT / "papers"
    folders = [path.parent for pattern in (SWEEP, STUDY, f"*/{STUDY}") for path in sorted(papers.glob(f"*/{pattern}"))]
    folders += [path.parent for path in folders if path.parent != papers]
    return list(dict.fromkeys(path.relative_to(papers).as_posix() for path in folders))


def studies_in(source: Path) -> list[Path]:
    """The study of a paper, or those in its folders."""
    return [source] if (source / STUDY).exists() else sorted(path.parent for path in source.glob(f"*/{STUDY}"))


def folder_of(study: Path, source: Path, scale: str, out: Path | None) -> Path:
    """Where the results of a study go when `source`, which may hold several, is reproduced."""
    if out is None:
        return Path("runs") / f"{study.relative_to(ROOT / 'papers')}-{scale}"
    return out / study.relative_to(source)


def reproduce_study(source: Path, scale: str, overrides: tuple[str, ...], folder: Path) -> str:
    """Train the agents of a study (models in runs/<paper>-<scale>/models), judge them, and write the verdicts."""
    from archrl_agents.study import run_study

    models = folder_of(source, source, scale, None) / "models"
    report = run_study(source / STUDY, scale, folder, models, overrides, command_line())
    return f"{report.text()}\n{_analysis(source).publish(folder)}\n\nrows, tables and figures: {folder}"


def remake_study(source: Path, folder: Path) -> str:
    """Tables, figures and verdicts of a study and its variants, from the rows in `folder`."""
    from archrl.evaluation.report import remake_report, write_report

    if not (folder / "table.csv").exists():
        return f"{source.relative_to(ROOT / 'papers')}: no rows in {folder} yet"
    parts = [folder, *sorted(path.parent for path in folder.glob("*/table.csv"))]
    reports = [remake_report(part) for part in parts]
    for report, part in zip(reports, parts, strict=True):
        write_report(report, part)
    return f"{reports[0].text()}\n{_analysis(source).publish(folder)}\n\nrows, tables and figures: {folder}"


def _analysis(source: Path) -> Any:
    """The verdicts of a study: its own, or those that it shares with the others of its paper."""
    owner = source if (source / "analysis.py").exists() else source.parent
    return _module(owner.relative_to(ROOT / "papers").as_posix().replace("/", "."), "analysis")


def _module(paper: str, name: str) -> Any:
    sys.path.insert(0, str(ROOT))
    return importlib.import_module(f"papers.{paper}.{name}")


def publish(paper: str, expected: Path, folder: Path) -> str:
    """Write tables and figures from the rows in `folder`; the first two tables, as text."""
    analysis, presentation = _module(paper, "analysis"), _module(paper, "presentation")
    evidence = analysis.read(folder, expected)
    presentation.publish(evidence, folder)
    shown = [f"{table.caption}\n{table.shown.to_string(index=False)}" for table in presentation.tables(evidence)[:2]]
    return "\n\n".join([*shown, f"rows, tables and figures: {folder}"])


def agent_player(path: Path) -> Any:
    """The trained agent of a run as a player of the sweep, on candidates and mix as it was trained."""
    from archrl.config import to_dict
    from archrl.envs.placement_config import resolve
    from archrl.evaluation.inflation_sweep import Player
    from archrl_agents.entrants import load_agent

    trained, model, seal = trained_run(path)
    fields = to_dict(resolve(trained.preset, dict(trained.env)))
    return Player(
        policy="agent",
        make=lambda task, seed: load_agent(model, task).policy,
        fields={name: fields[name] for name in AGENT_FIELDS},
        training_seed=trained.seed,
        model=seal,
    )


def rebalance_player(path: Path, sweep: Any) -> Any:
    """A trained agent as a method: one that plans, or a selector of the search, which is a file without a run."""
    from archrl_agents.run_folder import CONFIG

    if path.is_file() and not (path.parent / CONFIG).exists():
        from archrl.evaluation.reassignment_agents import selector_player
        from archrl_agents.rebalance_selector import load_selector

        return selector_player(load_selector(path), sweep.workers, sweep.clock, model=seal_of(path))
    return planning_player(path)


def planning_player(path: Path) -> Any:
    """The trained agent of a run, on candidates and budget of migrations as it was trained."""
    from archrl.envs.rebalance_config import resolve
    from archrl.evaluation.reassignment_agents import Plan, planner_player
    from archrl_agents.entrants import load_agent
    from archrl_agents.rebalance_plan import plan_with_agent

    trained, model, seal = trained_run(path)

    def plan(task: Any, scenario: Any, deadline_s: float, seed: int) -> Plan:
        agent = load_agent(model, task)
        found = plan_with_agent(agent.policy, agent.task, scenario, deadline_s, seed=seed)
        return Plan(found.moves, found.history)

    return planner_player(plan, resolve(trained.preset, dict(trained.env)), trained.seed, seal)


def aged_player(path: Path) -> Any:
    """The trained agent of a run as a method on aged states, on candidates as it was trained."""
    from archrl.envs.rebalance_config import resolve
    from archrl.evaluation.rebalancing_methods import agent_player
    from archrl_agents.entrants import load_agent
    from archrl_agents.rebalance_plan import plan_with_agent

    trained, model, seal = trained_run(path)

    def plan(task: Any, scenario: Any, deadline_s: float, seed: int) -> Any:
        agent = load_agent(model, task)
        return plan_with_agent(agent.policy, agent.task, scenario, deadline_s, seed=seed).moves

    return agent_player(plan, resolve(trained.preset, dict(trained.env)), trained.seed, seal)


def trained_run(path: Path) -> tuple[Any, Path, str]:
    """Configuration of a training run, its model, and the short SHA-256 of the weights."""
    from archrl_agents.entrants import model_file
    from archrl_agents.run_folder import CONFIG
    from archrl_agents.train_config import load_train_config

    model = model_file(path)
    if not (model.parent / CONFIG).exists():
        raise ConfigError(f"agent: no {CONFIG} beside {model}; give the folder of a training run, or its model file")
    return load_train_config(model.parent / CONFIG), model, seal_of(model)


def seal_of(model: Path) -> str:
    """Short SHA-256 of the weights."""
    return hashlib.sha256(model.read_bytes()).hexdigest()[:12]


if __name__ == "__main__":
    sys.exit(run_command(tyro.cli, main, kept="finished runs are kept; go on with --resume", description=__doc__))
