"""The registered files: pinned, checksummed, unique, and equal to the manifest beside the data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from archrl.traces import TRACE_SETS, TraceFile, TraceSet, is_present, trace_set
from tests.traces.builders import write_text

FILES = [(entry, file) for entry in TRACE_SETS for file in entry.files]


@pytest.mark.parametrize(("entry", "file"), FILES, ids=lambda value: getattr(value, "name", None))
def test_every_file_is_pinned_to_a_commit(entry: TraceSet, file: TraceFile) -> None:
    assert re.fullmatch(r"https://raw\.githubusercontent\.com/[\w-]+/[\w-]+/[0-9a-f]{40}/[\w./-]+", file.url)
    assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
    assert file.size_bytes > 0
    assert Path(file.name).suffix != ".gz" or file.name.endswith(".tar.gz"), (
        "upstream is not compressed, but for archives"
    )
    assert ".." not in Path(file.name).parts
    assert not Path(file.name).is_absolute()


def test_every_trace_set_has_terms_and_source_and_no_file_twice() -> None:
    assert {
        *("openb_gpu2023", "azure_vm2017_rnn", "alibaba_dlrm2025", "worldcup98", "wikipedia_hourly2009"),
        *("web_per_second", "azure_llm2023", "alibaba_genai2026", "cloud_vm_prices_2022", "nab"),
    } <= {entry.name for entry in TRACE_SETS}
    assert len({entry.name for entry in TRACE_SETS}) == len(TRACE_SETS)
    for entry in TRACE_SETS:
        assert entry.licence
        assert entry.source
        assert len({file.name for file in entry.files}) == len(entry.files)
        assert entry.data_files
        assert len({file.sha256 for file in entry.files}) == len(entry.files)


def test_present_means_every_data_file_compressed_or_not(tmp_path: Path) -> None:
    name = "azure_vm2017_rnn"
    files = trace_set(name).data_files
    for k, file in enumerate(files):
        assert not is_present(tmp_path, name)
        write_text(tmp_path / name / file.name, "x", compressed=k % 2 == 0)
    assert is_present(tmp_path, name)


def upstream_name(name: str) -> str:
    """Name of the uncompressed original; an archive is an original itself."""
    return name if name.endswith(".tar.gz") else name.removesuffix(".gz")


def test_registered_files_equal_the_manifest(data_root: Path) -> None:
    manifest = data_root / "MANIFEST.jsonl"
    if not manifest.exists():
        pytest.skip(f"{data_root} has no MANIFEST.jsonl")
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for entry in TRACE_SETS:
        expected = {
            (upstream_name(line["file"]), line["upstream_bytes"], line["upstream_sha256"], line["upstream_url"])
            for line in lines
            if line["dataset"] == entry.name and line["file"] not in (".gitignore", entry.bundle and entry.bundle.name)
        }
        assert {tuple(file) for file in entry.files} == expected


def test_importing_the_room_loads_no_heavy_module(repository: Path) -> None:
    heavy = ("pandas", "scipy", "numba", "tyro", "tqdm", "urllib.request")
    code = f"import sys, archrl.traces.registry, archrl.traces; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
