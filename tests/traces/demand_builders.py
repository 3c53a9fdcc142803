"""Writers of small trace files of demand and prices in the shape of the public ones. The content is made here."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.traces.builders import csv_text, write_text

REPLICA_A, REPLICA_B = "a" * 32, "0123456789abcdef" * 2
GENAI_COLUMNS = ("timestamp_anon", "value", "container_ip")
GENAI_FIRST = 1662858720


def write_archive(path: Path, members: Mapping[str, bytes | str], mode: str = "gz") -> Path:
    """A tar archive of regular files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, f"w:{mode}") as archive:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_worldcup(root: Path, rows: Iterable[Sequence[str]], *, compressed: bool = False) -> Path:
    """Counts by minute."""
    text = csv_text(("period", "count"), rows)
    return write_text(root / "worldcup98" / "invocation_count.csv", text, compressed=compressed)


def wikipedia_line(time: str, views: object = 100, sent: object = 1000) -> str:
    """One line of the list of files."""
    return f"/mnt/pagecounts/pagecounts-{time}.gz {views} {sent}\n"


def write_wikipedia(root: Path, text: str, *, compressed: bool = False) -> Path:
    """The list of files."""
    return write_text(root / "wikipedia_hourly2009" / "log.txt", text, compressed=compressed)


def write_nasa(root: Path, text: str) -> Path:
    """Counts by second."""
    return write_archive(root / "web_per_second" / "nasa_workload.tbz2", {"workload.txt": text}, "bz2")


def write_llm(root: Path, rows: Iterable[Sequence[str]], service: str = "conv", *, compressed: bool = False) -> Path:
    """Requests with Windows line ends, the last line without."""
    text = csv_text(("TIMESTAMP", "ContextTokens", "GeneratedTokens"), rows).replace("\n", "\r\n").removesuffix("\r\n")
    return write_text(root / "azure_llm2023" / f"AzureLLMInferenceTrace_{service}.csv", text, compressed=compressed)


def write_genai(root: Path, name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    """A CSV file in an archive of its own, behind the companion that macOS adds."""
    members = {f"._{name}.csv": b"\x00\x05\x16\x07", f"{name}.csv": csv_text(header, rows)}
    return write_archive(root / "alibaba_genai2026" / f"{name}.tar.gz", members)


def write_nab(root: Path, name: str, text: str, windows: str = "[]", *, compressed: bool = False) -> Path:
    """A series and a file of windows for it alone."""
    write_text(root / "nab" / "combined_windows.json", f'{{"{name}.csv": {windows}}}')
    return write_text(root / "nab" / f"{name}.csv", text, compressed=compressed)
