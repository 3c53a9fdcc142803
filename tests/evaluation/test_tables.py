"""Summary tables: numbers against hand computation, honest order and marks, and texts that other programs can read."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from archrl.errors import ArchrlError, ConfigError
from archrl.evaluation.summary import cost_ratios
from archrl.evaluation.tables import (
    display_parts,
    summary_table,
    table_caption,
    to_csv,
    to_latex,
    to_markdown,
    write_tables,
)

FAST = 200


def summary(frame: pd.DataFrame, reference: str | None = None, seed: int = 0, **settings) -> pd.DataFrame:
    return summary_table(frame, reference, rng=np.random.default_rng(seed), **({"resamples": FAST} | settings))


@pytest.fixture(scope="module")
def table(rows) -> pd.DataFrame:
    return summary(rows)


def row_of(table: pd.DataFrame, policy: str) -> pd.Series:
    return table.set_index("policy").loc[policy]


def test_rows_stand_in_order_of_cost_with_the_losing_agent_where_it_belongs(table) -> None:
    order = ["certified lower bound", "milp", "ppo", "fgd", "planned", "best_fit", "dqn", "random"]
    assert table["policy"].tolist() == order
    assert table["iqm_cost_usd"].is_monotonic_increasing


def test_numbers_by_hand(table) -> None:
    """Base costs 60, 100, 100, 140: mean 100, interquartile mean 100."""
    fgd, ppo, dqn = (row_of(table, name) for name in ("fgd", "ppo", "dqn"))
    assert fgd["iqm_cost_usd"] == pytest.approx(110.0)
    assert ppo["mean_cost_usd"] == pytest.approx(105.0)
    assert ppo["cost_node_hours_usd"] == pytest.approx(78.75)
    assert ppo["cost_rejected_usd"] == pytest.approx(26.25)
    assert ppo["metric_gpu_allocation_frac"] == pytest.approx(0.9539)
    assert ppo["gap_to_bound_frac"] == pytest.approx(15 / 90)
    assert ppo["gap_closed_frac"] == pytest.approx(5 / 20)
    assert dqn["gap_closed_frac"] == pytest.approx(-25 / 20)
    assert ppo["difference_usd"] == pytest.approx(-5.0)
    assert dqn["violations_per_episode"] == 1.0
    assert ppo[["training_seeds", "scenarios"]].tolist() == [3, 4]
    assert fgd["training_seeds"] == 0


def test_decision_latency_is_the_mean_over_decisions(table) -> None:
    """Episodes of 10 and 11 decisions at 0 and 22 microseconds."""
    assert row_of(table, "fgd")["decision_us"] == pytest.approx(22 * 11 / 21)


def test_the_bound_is_a_row_of_its_own_with_its_solver_status(table) -> None:
    bound = row_of(table, "certified lower bound")
    assert bound["information"] == "bound"
    assert bound["mean_cost_usd"] == pytest.approx(90.0)
    assert bound["bound_status"] == "optimal: 2; time_limit: 2"
    assert math.isnan(bound["difference_usd"])


def test_undefined_metric_is_not_averaged_away(table) -> None:
    assert math.isnan(row_of(table, "random")["metric_stranded"])
    assert row_of(table, "fgd")["metric_stranded"] == 2.5


def test_intervals_hold_their_value_and_a_proportional_gap_is_certain(table) -> None:
    policies = table[table["information"] != "bound"]
    assert (policies["iqm_cost_low_usd"] <= policies["iqm_cost_usd"]).all()
    assert (policies["iqm_cost_high_usd"] >= policies["iqm_cost_usd"]).all()
    best_fit = row_of(table, "best_fit")
    closed = best_fit[["gap_closed_frac", "gap_closed_low_frac", "gap_closed_high_frac"]].astype(float)
    assert closed.to_numpy() == pytest.approx([-0.5, -0.5, -0.5])


def test_family_of_tests_leaves_out_reference_bound_and_clairvoyant(table) -> None:
    tested = table.loc[table["difference_p_holm"].notna(), "policy"]
    assert sorted(tested) == ["best_fit", "dqn", "planned", "ppo", "random"]
    assert row_of(table, "random")["difference_p_holm"] == pytest.approx(5 * 2 / 16)


def test_same_seed_same_table_whatever_the_order_of_the_rows(rows, table) -> None:
    shuffled = rows.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(summary(shuffled), table, rtol=1e-9)
    assert not summary(rows, seed=1)["iqm_cost_low_usd"].equals(table["iqm_cost_low_usd"])


def test_currency_changes_dollars_only(make_rows, table) -> None:
    cents = summary(make_rows(scale=100.0))
    dollars = [name for name in table.columns if name.endswith("_usd")]
    np.testing.assert_allclose(cents[dollars], 100 * table[dollars], rtol=1e-9, atol=1e-9)
    same = ["policy", "gap_closed_frac", "gap_closed_low_frac", "gap_to_bound_frac", "difference_p_holm"]
    pd.testing.assert_frame_equal(cents[same], table[same], rtol=1e-9)


def test_reference_is_the_cheapest_online_heuristic_or_the_named_one(rows, table) -> None:
    assert set(table["reference"]) == {"fgd"}
    named = summary(rows, "best_fit")
    assert set(named["reference"]) == {"best_fit"}
    assert row_of(named, "fgd")["difference_usd"] == pytest.approx(-10.0)
    assert set(summary(rows, "planned")["reference"]) == {"planned (forecast)"}


@pytest.mark.parametrize("name", ["milp", "ppo", "nobody"])
def test_a_learner_or_an_oracle_is_no_reference(rows, name: str) -> None:
    with pytest.raises(ConfigError, match=r"reference_heuristic=.*\['best_fit', 'fgd', 'planned', 'random'\]"):
        summary(rows, name)


def test_without_bound_or_reference_the_reason_is_noted(make_rows) -> None:
    unbounded = make_rows(bound_factor=None)
    table = summary(unbounded)
    assert "certified lower bound" not in set(table["policy"])
    assert table["gap_closed_frac"].isna().all()
    assert set(table["note"]) == {"no certified bound in 4 of 4 scenarios"}
    learners = summary(unbounded[unbounded["policy"] == "ppo"])
    assert learners["reference"].tolist() == [""]
    assert "No reference policy" in table_caption(learners, "toy")


def test_a_bound_for_some_scenarios_only_is_not_averaged(rows) -> None:
    part = rows.copy()
    some = part["scenario"] == "calm"
    part.loc[some, ["bound_usd", "bound_status"]] = [math.nan, "none"]
    table = summary(part)
    assert table["gap_to_bound_frac"].isna().all()
    assert set(table["note"]) == {"no certified bound in 2 of 4 scenarios"}


def test_the_best_certified_bound_of_a_scenario_counts(rows) -> None:
    weaker = rows.copy()
    weaker.loc[weaker["policy"] != "milp", "bound_usd"] *= 0.5
    weaker.loc[weaker["policy"] == "dqn", ["bound_usd", "bound_status"]] = [math.nan, "none"]
    bound = row_of(summary(weaker), "certified lower bound")
    assert bound["mean_cost_usd"] == pytest.approx(90.0)
    assert bound["bound_status"] == "optimal: 2; time_limit: 2"


def test_where_the_reference_is_optimal_nothing_is_left_to_close(make_rows) -> None:
    table = summary(make_rows(bound_factor=0.95).query("policy in ['fgd', 'random']").assign(bound_usd=_own_cost))
    assert row_of(table, "random")["note"] == "the reference attains the bound: nothing is left to close"
    assert math.isnan(row_of(table, "random")["gap_closed_frac"])


def _own_cost(frame: pd.DataFrame) -> pd.Series:
    return frame.groupby(["scenario", "episode"])["cost_usd"].transform("min")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: pd.concat([f, f.assign(experiment="other")]), r"2 groups of .*made_up.*; other"),
        (
            lambda f: f[~((f["policy"] == "fgd") & (f["scenario"] == "calm"))],
            r"'fgd': no row for scenario 'calm', e.*1 m",
        ),
        (lambda f: f[~((f["training_seed"] == 1) & (f["episode"] == 1))], r"'dqn', training seed 1: no row"),
        (lambda f: f.assign(training_seed=f["training_seed"].replace(2, -1)), r"'ppo': training_seed -1"),
        (lambda f: f.assign(bound_usd=f["bound_usd"] * 1.06), r"policy 'milp'.*lies below the certified bound"),
        (lambda f: _without_rejected_term(f), r"policy 'fgd', its row 1, column 'cost_rejected_usd': nan"),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(rows, edit, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        summary(edit(rows))


def _without_rejected_term(frame: pd.DataFrame) -> pd.DataFrame:
    changed = frame.copy()
    first = changed.index[changed["policy"] == "fgd"][0]
    changed.loc[first, "cost_node_hours_usd"] = changed.loc[first, "cost_usd"]
    changed.loc[first, "cost_rejected_usd"] = math.nan
    return changed


def test_cost_ratios_by_hand(rows) -> None:
    to_bound, to_best = cost_ratios(rows, "bound"), cost_ratios(rows, "best")
    assert to_bound["fgd"] == pytest.approx(np.full((1, 4), 1.1 / 0.9))
    assert to_best["ppo"] == pytest.approx(np.repeat([[1.0], [1.05], [1.1]], 4, axis=1) / 0.95)
    assert "milp (clairvoyant)" in to_best


def test_cost_ratios_need_something_to_divide_by(make_rows) -> None:
    with pytest.raises(ConfigError, match=r"scenario 'burst', episode 0: bound is nan"):
        cost_ratios(make_rows(bound_factor=None), "bound")


def test_caption_says_source_n_statistic_and_method(table) -> None:
    caption = table_caption(table, "openb trace, first week.")
    for part in (
        "Data: openb trace, first week. Learning policies: 2 to 3 training seeds.",
        "the same 4 scenarios",
        "preset tiny, split test",
        "interquartile mean",
        "95 % percentile intervals of a crossed bootstrap (200 resamples",
        "Holm-corrected",
        "(clairvoyant) know the whole scenario beforehand and are no competitors",
        "(bound) is a lower bound",
        "(forecast) are given a forecast",
    ):
        assert part in caption
    with pytest.raises(ConfigError, match="source: empty"):
        table_caption(table, " ")


def test_one_training_seed_and_one_scenario_are_admitted(rows) -> None:
    few = rows[(rows["training_seed"] < 1) & (rows["episode"] == 0)]
    table = summary(few)
    caption = table_caption(table, "toy")
    assert "Learning policies: 1 training seed. With one training seed" in caption
    assert "[n/a]: one scenario in each family" in caption
    assert "80.00 [n/a]" in to_markdown(table, caption)


def test_markdown_is_rectangular_and_marks_what_is_no_competitor(table) -> None:
    text = to_markdown(table, "A caption.")
    assert text.startswith("A caption.\n\n|")
    blocks = re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE)
    for block, part in zip(blocks, display_parts(table), strict=True):
        lines = block.strip().splitlines()
        assert len(lines) == len(table) + 2
        assert {line.count("|") for line in lines} == {part.shape[1] + 1}
    assert text.count("| milp (clairvoyant) |") == text.count("| certified lower bound (bound) |") == 2
    assert "| milp |" not in text
    assert "solver status by scenario (optimal: 2; time_limit: 2)" in text


def test_shown_numbers_agree_with_the_raw_ones(table) -> None:
    results, details = (part.set_index("Policy") for part in display_parts(table))
    assert results.loc["ppo", "Gap to bound, %"] == "16.67"
    assert results.loc["ppo", "Gap closed [95 %], %"].startswith("25.0 [")
    assert results.loc["fgd", "Difference to fgd [95 %], $"] == "reference"
    assert results.loc["random", "Training seeds"] == "0"
    assert details.loc["fgd", "GPU allocation, %"] == "95.39"
    assert details.loc["random", "Stranded"] == "n/a"
    assert details.loc["dqn", "Mean cost, $"] == "135"


def test_csv_gives_back_every_number(table) -> None:
    again = pd.read_csv(io.StringIO(to_csv(table)), float_precision="round_trip", keep_default_na=False, na_values=[""])
    text = ["bound_status", "note"]
    again[text] = again[text].fillna("")
    pd.testing.assert_frame_equal(again, table, check_dtype=False, check_exact=True)


def test_latex_escapes_and_has_equal_columns(rows) -> None:
    odd = rows.assign(policy=rows["policy"].replace("fgd", r"100%_$&#{~^\|<µ"))
    text = to_latex(summary(odd), "50 % of_it", "odd")
    assert r"100\%\_\$\&\#\{\textasciitilde{}\textasciicircum{}\textbackslash{}\textbar{}\textless{}\textmu{}" in text
    assert r"\caption{50 \% of\_it" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == text.count(r"\begin{table}") == 2
    for tabular in re.findall(r"\\begin\{tabular\}\{(l?r+)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL):
        lines = [line for line in tabular[1].splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {len(tabular[0])}
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")


def test_pipes_and_line_breaks_cannot_break_markdown(rows) -> None:
    odd = rows.assign(policy=rows["policy"].replace("fgd", "a|b"))
    assert r"| a\|b |" in to_markdown(summary(odd), "two\nlines | here")
    assert r"two lines \| here" in to_markdown(summary(odd), "two\nlines | here")


def test_write_tables_writes_three_files_that_say_the_same(table, tmp_path: Path) -> None:
    paths = write_tables(table, tmp_path / "tables", "result", "A caption.")
    assert [path.name for path in paths] == ["result.md", "result.tex", "result.csv"]
    assert sorted(p.name for p in (tmp_path / "tables").iterdir()) == ["result.csv", "result.md", "result.tex"]
    assert paths[0].read_text() == to_markdown(table, "A caption.")
    assert paths[2].read_text() == to_csv(table)
    assert r"\label{tab:result}" in paths[1].read_text()


def test_nothing_is_written_without_caption_or_table(table, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="caption: empty"):
        write_tables(table, tmp_path, "result", "")
    with pytest.raises(ConfigError, match="pass what summary_table returns"):
        write_tables(table.drop(columns="iqm_cost_usd"), tmp_path, "result", "A caption.")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(table, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArchrlError, match="cannot write"):
        write_tables(table, tmp_path / "file", "result", "A caption.")


# --- intervals of metrics


def test_metrics_have_intervals_where_they_are_asked_for(make_rows):
    """A metric that never varies has a point as its interval; one that is undefined in an episode has none."""
    rows = make_rows()
    varied = rows.assign(metric_minutes=rows["cost_usd"] / 10.0)
    names = ("gpu_allocation_frac", "stranded", "minutes")
    table = summary_table(varied, rng=np.random.default_rng(0), resamples=400, interval_metrics=names)
    policies = table[table["information"] != "bound"].set_index("policy")
    for side in ("low", "high"):
        np.testing.assert_allclose(policies[f"interval_gpu_allocation_frac_{side}"], 0.9539)
    assert np.isnan(policies.loc["random", "interval_stranded_low"])
    assert policies.loc["fgd", "interval_stranded_low"] == 2.5
    # fgd: 11 and 15.4 in one family, 6.6 and 11 in the other; 1 in 16 resamples has the least of both, 1 the most
    limits = policies.loc["fgd", ["interval_minutes_low", "interval_minutes_high"]].tolist()
    assert limits == pytest.approx([(11 + 6.6) / 2, (15.4 + 11) / 2])
    plain = summary_table(varied, rng=np.random.default_rng(0), resamples=400)
    assert not [name for name in plain.columns if name.startswith("interval_")]
    cells = display_parts(table)[1].set_index("Policy")
    assert cells.loc["fgd", "GPU allocation, % [95 %]"] == "95.4 [95.4, 95.4]"
    assert cells.loc["random", "Stranded [95 %]"] == "n/a"
