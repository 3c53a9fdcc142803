"""docs/validation: the committed page and figures are those of the committed rows."""

from __future__ import annotations

import re

import pytest

from archrl.errors import ConfigError
from tests.validation.hpa_traces import TRACES
from tests.validation.page import FIGURES, FOLDER, PAGE, ROWS, SERIES, page_text, read_rows, render

TEXT = (FOLDER / PAGE).read_text(encoding="utf-8")


def test_the_committed_page_is_that_of_the_rows():
    assert page_text(read_rows()) == TEXT


def test_every_row_and_every_trace_is_on_the_page():
    rows = read_rows()
    lines = [line for line in TEXT.splitlines() if re.search(r"\| (met|open|missed) \|$", line)]
    assert len(lines) == len(rows)
    assert TEXT.count("| equal |") == len(TRACES) == 8
    total = re.search(r"(\d+) rows: (\d+) met, (\d+) open, (\d+) missed", TEXT)
    assert total is not None
    assert int(total[1]) == sum(int(number) for number in total.groups()[1:]) == len(rows)


def test_the_page_shows_its_figures_and_they_are_pictures():
    assert set(re.findall(r"\]\((\w+\.png)\)", TEXT)) == set(FIGURES)
    for name in FIGURES:
        assert (FOLDER / name).read_bytes().startswith(b"\x89PNG")


def test_a_page_of_other_rows_is_found(tmp_path):
    for name in (ROWS, SERIES, PAGE):
        (tmp_path / name).write_text((FOLDER / name).read_text(encoding="utf-8"), encoding="utf-8")
    render(tmp_path, simulate=False, check=True)
    lines = (tmp_path / ROWS).read_text(encoding="utf-8").splitlines()
    (tmp_path / ROWS).write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"render_validation\.py"):
        render(tmp_path, simulate=False, check=True)
    render(tmp_path, simulate=False, check=False)
    assert (tmp_path / PAGE).read_text(encoding="utf-8") == page_text(read_rows(tmp_path)) != TEXT
    assert {path.name for path in tmp_path.glob("*.png")} == set(FIGURES)
