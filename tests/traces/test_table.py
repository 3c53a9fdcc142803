"""The file layer: headers, rows, numbers, compression, encoding."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import TraceError
from archrl.traces import OpenbNodes, read_openb_nodes
from archrl.traces.table import parse_number, read_csv
from tests.traces.builders import NODE_HEADER, NODES, csv_text, write_openb, write_text

LAYOUTS = (("a", "b"), ("a", "b", "c", "d"))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_parsed_as_python_does(value: float) -> None:
    assert parse_number(repr(value)) == value


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "1_0", "nan", "inf", "-inf", "0x10", "1e999", "\u0661", "1,0", "--1", "."]
)
def test_what_is_not_a_plain_finite_number_is_none(text: str) -> None:
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"empty file; a header and at least one row"),
        ("a,b\n", r"0 rows after the header"),
        ("a,b,e\n1,2,3\n", r"row 1, column 'e': 'e'; allowed: columns a, b, c, d"),
        ("a\n1\n", r"row 1: column b missing; needed are a, b"),
        ("a,b,c\n1,2,3\n", r"row 1: column (d missing; needed are a, b, c, d|c not part of this layout)"),
        ("a,b,b\n1,2,3\n", r"row 1, column 'b': 'b'; allowed: each column once"),
        ("a,b\n1,2\n3\n", r"row 3, column '\(all\)': '3'; allowed: 2 fields, not 1"),
        ("a,b\n1,2\n3,4,5\n", r"row 3, column '\(all\)': '3,4,5'; allowed: 2 fields, not 3"),
        ("a,b\n1,2\n\n3,4\n", r"row 3, column '\(all\)': ''; allowed: 2 fields, not 0"),
        ('a,b\n1,"2\n', r"line 2: not a CSV file"),
        ('a,b\n1,"2"x\n', r"line 2: not a CSV file"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = write_text(tmp_path / "x.csv", text)
    with pytest.raises(TraceError, match=message) as caught:
        read_csv(path, LAYOUTS)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_byte_order_mark_and_line_ends_do_not_matter(tmp_path: Path, prefix: str, newline: str) -> None:
    path = write_text(tmp_path / "x.csv", prefix + newline.join(["b,a", "1,2", '"3",4', ""]))
    table = read_csv(path, LAYOUTS)
    assert table.columns == {"b": ["1", "3"], "a": ["2", "4"]}
    assert table.num_rows == 2


def test_every_truncation_of_a_gzip_file_is_an_error(tmp_path: Path) -> None:
    folder = write_openb(tmp_path, compressed=True)
    path = folder / "openb_node_list_gpu_node.csv.gz"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(TraceError, match=r"openb_node_list_gpu_node\.csv\.gz: (truncated or damaged|empty file)"):
            read_openb_nodes(tmp_path)


DAMAGED = (b"sn,cpu_milli\n", gzip.compress(b"x" * 999, mtime=0)[:20] + b"\x00" * 40)


@pytest.mark.parametrize("content", DAMAGED, ids=["plain text", "broken stream"])
def test_damaged_gzip_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=r"x\.csv\.gz: truncated or damaged gzip file .*download it again"):
        read_csv(path, LAYOUTS)


def test_text_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("a,b\n1,é\n".encode("latin-1"))
    with pytest.raises(TraceError, match=r"x\.csv: byte 6 is not UTF-8"):
        read_csv(path, LAYOUTS)


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"cannot be read"):
        read_csv(tmp_path, LAYOUTS)


def test_numbers_in_a_range(tmp_path: Path) -> None:
    table = read_csv(write_text(tmp_path / "x.csv", "a,b\n1,0.5\n2,1e2\n"), LAYOUTS)
    assert table.numbers("b", 0, 100).tolist() == [0.5, 100.0]
    with pytest.raises(TraceError, match=r"row 3, column 'b': '1e2'; allowed: a number from 0 to 99"):
        table.numbers("b", 0, 99)


def test_scaled_integers_are_exact_or_refused(tmp_path: Path) -> None:
    table = read_csv(write_text(tmp_path / "x.csv", "a,b\n0.75,0.1\n2,1\n"), LAYOUTS)
    assert table.integers("a", scale=1024).tolist() == [768, 2048]
    with pytest.raises(TraceError, match=r"row 2, column 'b': '0.1'; allowed: a multiple of 1/1024 from 0 to 2097151"):
        table.integers("b", scale=1024)


def test_zero_nodes_are_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "openb_gpu2023/openb_node_list_gpu_node.csv", csv_text(NODE_HEADER, []))
    with pytest.raises(TraceError, match="0 rows after the header"):
        read_openb_nodes(tmp_path)


def test_a_table_built_by_hand_must_be_consistent(tmp_path: Path) -> None:
    write_text(tmp_path / "openb_gpu2023/openb_node_list_gpu_node.csv", csv_text(NODE_HEADER, NODES))
    good = read_openb_nodes(tmp_path)
    with pytest.raises(TraceError, match=r"OpenbNodes\.mem_mib: 2 entries; 3 are needed"):
        OpenbNodes(good.name, good.cpu_milli, good.mem_mib[:2], good.gpu_count, good.gpu_type)
    with pytest.raises(TraceError, match="OpenbNodes: 0 entries; at least one"):
        OpenbNodes((), good.cpu_milli[:0], good.mem_mib[:0], good.gpu_count[:0], ())


def test_a_number_too_long_for_a_float_is_not_infinite() -> None:
    assert math.isinf(float("9" * 400))
    assert parse_number("9" * 400) is None
