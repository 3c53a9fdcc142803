"""Tables of the analysis as Markdown, LaTeX and CSV, and everything written into one folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from archrl.evaluation.figures import save_figure
from archrl.evaluation.paper_tables import Table, verdicts_table
from archrl.files import write_text_atomic
from papers.fgd_atc23 import analysis
from papers.fgd_atc23.analysis import AGENT, POLICIES, Evidence
from papers.fgd_atc23.plots import figures

SOURCE = "openb trace, 1,213 nodes with 6,212 GPUs, inflation to 130 %"
LATEX = str.maketrans({"%": r"\%", "&": r"\&", "_": r"\_", "±": r"$\pm$"})


def tables(evidence: Evidence) -> list[Table]:
    """All tables that the rows allow; a table without rows is left out."""
    made = [
        _verdicts(evidence),
        _allocation(evidence),
        _reproduction(evidence),
        _fragmentation(evidence),
        _ablation(evidence),
    ]
    made.append(_more_seeds(evidence))
    return [table for table in (*made, _agent(evidence), _bounds(evidence)) if len(table.raw)]


def publish(evidence: Evidence, folder: Path) -> list[Path]:
    """Write every table and figure into `folder`; the paths."""
    paths = []
    for table in tables(evidence):
        texts = {
            ".md": markdown(table),
            ".tex": latex(table),
            ".csv": table.raw.to_csv(index=False, float_format="%.4f"),
        }
        for suffix, text in texts.items():
            paths.append(folder / f"{table.stem}{suffix}")
            write_text_atomic(paths[-1], text)
    for name, figure in figures(evidence).items():
        paths.append(folder / name)
        save_figure(figure, paths[-1])
    return paths


def markdown(table: Table) -> str:
    """Caption and table as GitHub Markdown."""
    columns = [str(name) for name in table.shown.columns]
    rows = [columns, ["---"] * len(columns), *table.shown.astype(str).to_numpy().tolist()]
    return "\n".join([table.caption, "", *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def latex(table: Table) -> str:
    """A `table` environment with booktabs rules."""
    shown = table.shown.astype(str).map(lambda cell: cell.translate(LATEX))
    shown.columns = [str(name).translate(LATEX) for name in shown.columns]
    body = shown.style.hide(axis="index").to_latex(hrules=True, column_format="l" * shown.shape[1]).strip()
    caption = table.caption.translate(LATEX)
    return "\n".join(
        [r"\begin{table}[tbp]", r"\centering", rf"\caption{{{caption}}}", rf"\label{{tab:fgd-{table.stem}}}",
         r"\resizebox{\textwidth}{!}{%", body + "%", "}", r"\end{table}", ""]
    )  # fmt: skip


def _verdicts(evidence: Evidence) -> Table:
    sources = "runs.csv and bounds.csv; percentages are of GPU capacity"
    return verdicts_table(analysis.verdicts(evidence), sources)


def _allocation(evidence: Evidence) -> Table:
    raw = analysis.allocation(evidence)
    nodes = ", ".join(f"{count:,}" for count in raw["num_nodes"].unique())
    caption = f"Mean GPU allocation, % of capacity, at 130 % arrived demand. Data: openb trace, {nodes} of 1,213 nodes."
    wide = raw.pivot(index=["num_nodes", "workload"], columns="policy", values="mean_130")
    order = raw[["num_nodes", "workload"]].drop_duplicates().apply(tuple, axis=1)
    policies = [name for name in (*POLICIES, AGENT) if name in wide.columns]
    shown = wide.loc[list(order), policies].map(lambda mean: "" if pd.isna(mean) else f"{mean:.2f}").reset_index()
    return Table("allocation", caption, shown.rename(columns={"num_nodes": "Nodes", "workload": "Workload"}), raw)


def _reproduction(evidence: Evidence) -> Table:
    return _compared(evidence, "reproduction", "alloc", analysis.LEVELS, "GPU allocation")


def _fragmentation(evidence: Evidence) -> Table:
    return _compared(evidence, "fragmentation", "frag", analysis.FRAGMENTATION_LEVELS, "Fragmented GPU")


def _compared(evidence: Evidence, stem: str, kind: str, levels: tuple[int, ...], what: str) -> Table:
    raw = analysis.comparison(evidence, kind, levels)
    caption = (
        f"{what}, % of capacity, at {levels[0]} % and {levels[1]} % arrived demand: mean of 10 seeds ± standard "
        f"deviation over seeds, in brackets our mean minus the published mean of 10 seeds; * beyond the tolerance. "
        f"Data: {SOURCE}."
    )
    cells = raw.assign(cell=[_cell(row) for row in raw.itertuples()])
    wide = cells.pivot(index=["workload", "arrived_pct"], columns="policy", values="cell") if len(raw) else cells
    order = [(w, level) for level in sorted(levels, reverse=True) for w in evidence.expected[kind]]
    shown = wide.reindex(index=[key for key in order if key in wide.index], columns=list(POLICIES)).fillna("")
    return Table(
        stem, caption, shown.reset_index().rename(columns={"workload": "Workload", "arrived_pct": "At, %"}), raw
    )


def _cell(row: object) -> str:
    return f"{row.mean:.2f} ± {row.sd:.2f} ({row.difference:+.2f}){'' if row.within else ' *'}"


def _more_seeds(evidence: Evidence) -> Table:
    raw = analysis.more_seeds(evidence)
    caption = (
        "Published and own means where further seeds were run: difference of our mean and the published mean of 10 "
        f"seeds, percentage points, with a 95 % interval (Welch). Data: {SOURCE}."
    )
    shown = pd.DataFrame(
        {
            "Workload": raw["workload"],
            "Policy": raw["policy"],
            "At, %": raw["arrived_pct"],
            "Seeds": [f"{count} ({which})" for count, which in zip(raw["seeds"], raw["which"], strict=True)],
            "Published": [f"{value:.2f}" for value in raw["published_mean"]],
            "Mean": [f"{mean:.2f} ± {sd:.2f}" for mean, sd in zip(raw["mean"], raw["sd"], strict=True)],
            "Difference": [analysis.interval_text(row) for _, row in raw.iterrows()],
        }
    )
    return Table("more_seeds", caption, shown, raw)


def _ablation(evidence: Evidence) -> Table:
    raw = analysis.ablation(evidence)
    caption = (
        "Rounding, ties and mix on workload default: GPU allocation, % of capacity, mean ± standard deviation over "
        "seeds. Score: integer 0 to 100, or float. Ties: shuffled, by an order of the nodes drawn once per run (as "
        "published); lowest, by the order of the trace; random, drawn at every decision. Mix: share of the requests "
        f"that FGD's types cover. Difference: to the published form on the same scenarios. Data: {SOURCE}."
    )
    mix = raw["mix_coverage"].map(lambda share: f"{100 * share:.0f}").where(raw["policy"] == "FGD", "")
    shown = pd.DataFrame(
        {
            "Policy": raw["policy"],
            "Score": raw["score"],
            "Ties": raw["tie"],
            "Mix, %": mix,
            "Seeds": raw["seeds"],
            "At 100 %": _mean_sd(raw, 100),
            "At 130 %": _mean_sd(raw, 130),
            "Difference at 130 %": [f"{value:+.2f}" for value in raw["difference_130"]],
        }
    )
    return Table("ablation", caption, shown, raw)


def _mean_sd(raw: pd.DataFrame, level: int) -> list[str]:
    return [f"{mean:.2f} ± {sd:.2f}" for mean, sd in zip(raw[f"mean_{level}"], raw[f"sd_{level}"], strict=True)]


def _agent(evidence: Evidence) -> Table:
    raw = analysis.against_fgd(evidence)
    caption = (
        "Trained agent and FGD at 130 % arrived demand: GPU allocation, % of capacity, mean over the same 10 scenarios "
        "(agent: mean over training seeds first); difference with a 95 % t interval over scenarios; published FGD: "
        f"mean of its own 10 seeds. Data: {SOURCE}."
    )
    shown = pd.DataFrame(
        {
            "Workload": raw["workload"],
            "Training seeds": raw["training_seeds"],
            "Agent": [f"{value:.2f}" for value in raw["agent_mean"]],
            "FGD": [f"{value:.2f}" for value in raw["fgd_mean"]],
            "Agent minus FGD": [analysis.interval_text(row) for _, row in raw.iterrows()],
            "Published FGD": [f"{value:.2f}" for value in raw["published_fgd_mean"]],
        }
    )
    return Table("agent", caption, shown, raw)


def _bounds(evidence: Evidence) -> Table:
    raw = analysis.bound_gaps(evidence)
    caption = (
        "Certified upper bound on the final GPU allocation of each bounded scenario, % of capacity, and what the "
        "policies reach on the same scenarios (means). No policy can exceed it, not even one that knows the future and "
        "may turn away requests that fit, which no policy here may; 100 leaves open that this would fill every GPU. "
        f"Data: {SOURCE}."
    )
    if raw.empty:
        return Table("bound_gaps", caption, raw, raw)
    wide = raw.pivot(index="workload", columns="policy", values="alloc_pct_end")
    per_workload = raw.groupby("workload")[["bound_pct", "scenarios"]].first()
    order = [w for w in evidence.expected["alloc"] if w in wide.index]
    policies = [name for name in (*POLICIES, AGENT) if name in wide.columns]
    shown = wide.loc[order, policies].map(lambda value: f"{value:.2f}").reset_index()
    shown.insert(1, "Scenarios", per_workload.loc[order, "scenarios"].to_numpy())
    shown["Bound"] = [f"{value:.2f}" for value in per_workload.loc[order, "bound_pct"]]
    return Table("bound_gaps", caption, shown.rename(columns={"workload": "Workload"}), raw)
