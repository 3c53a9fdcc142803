"""Virtual machines of Azure, 2017: arrivals by flavour and tenant batch, lifetimes in bins (huaweicloud release).

Source: Bergsma et al., "Generating Complex, Realistic Cloud Workloads using Recurrent Neural Networks", SOSP 2021,
which processed the Azure trace of Cortez et al., "Resource Central", SOSP 2017; files described in
huaweicloud/trace_generation_rnn, `INPUT.md`.

What the files are like, and what the reader makes of them:

* One line per 300 s: `300 g,|,b,m,|` is the time in seconds, then flavour letters, `|` closing the batch of a tenant.
* The partner file `v1.<split>.c<time>.txt` has a lifetime for each: `U15` in bin 15, `C46` still running at the
  censoring time in the file name after a lifetime so far in bin 46. Only the split "dev" has one here; without it the
  bins are `NO_BIN` and `has_durations` is False.
* `v1.interval_map.txt` lists every multiple of 300 s with its bin. Lifetimes beyond the list are in one more bin,
  which the file does not name: its upper bound is infinite.
* `flav_map.txt` gives vCPU and memory: `2,3.5 g`. Its GB are taken as GiB, as Azure sells them.
* `batch_size_map.txt` groups batch sizes for the authors' network and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from archrl.errors import ConfigError, TraceError
from archrl.traces.table import (
    BoolArray,
    FloatArray,
    IntArray,
    check_lengths,
    locate,
    open_text,
    parse_number,
    row_error,
)
from archrl.units import CPU_MILLI, MIB_PER_GIB

AZURE_VM2017 = "azure_vm2017_rnn"
"""Folder of the trace set below the data root."""
SPLITS = ("train", "dev")
NO_BIN = -1
"""`duration_bin_idx` of a virtual machine whose lifetime is not in the release."""

STEP_SECONDS = 300
"""Resolution of arrivals and lifetimes."""

_BATCH_END = "|"
_DURATION = re.compile(r"[UC]\d{1,6}", re.ASCII)
_DURATION_FILE = re.compile(r"v1\.(\w+)\.c(\d+)\.txt(\.gz)?", re.ASCII)


@dataclass(frozen=True)
class AzureFlavours:
    """Sizes of virtual machines; `F` entries in the order of the file."""

    letter: tuple[str, ...]
    cpu_milli: IntArray  # (F,) milli-cores
    mem_mib: IntArray  # (F,) MiB

    def __post_init__(self) -> None:
        check_lengths(self, len(self.letter), ("cpu_milli", "mem_mib"))

    def __len__(self) -> int:
        return len(self.letter)


@dataclass(frozen=True)
class AzureDurationBins:
    """Lifetime bins; `K` entries. A lifetime is a multiple of 300 s and both bounds belong to the bin."""

    lower_s: FloatArray  # (K,) seconds
    upper_s: FloatArray  # (K,) seconds; inf in the last

    def __post_init__(self) -> None:
        check_lengths(self, len(self.lower_s), ("upper_s",))

    def __len__(self) -> int:
        return len(self.lower_s)


@dataclass(frozen=True)
class AzureVms:
    """Virtual machines in order of arrival; `P` entries."""

    split: str
    flavours: AzureFlavours
    bins: AzureDurationBins
    arrival_s: FloatArray  # (P,) seconds since the start of the whole trace, multiples of 300, non-decreasing
    flavour_idx: IntArray  # (P,) index into flavours
    batch_idx: IntArray  # (P,) number of the tenant batch, 0.. in order of arrival
    duration_bin_idx: IntArray  # (P,) index into bins, NO_BIN without durations
    censored: BoolArray  # (P,) still running at censor_s, after a lifetime so far in the bin
    censor_s: float  # seconds; NaN without durations
    has_durations: bool

    def __post_init__(self) -> None:
        names = ("flavour_idx", "batch_idx", "duration_bin_idx", "censored")
        check_lengths(self, len(self.arrival_s), names)

    def __len__(self) -> int:
        return len(self.arrival_s)

    def lifetime_bounds_s(self) -> tuple[FloatArray, FloatArray]:
        """Least and greatest lifetime that the release allows, (P,) each, seconds.

        A censored one lies between its lifetime at the censoring time and infinity; without durations both are NaN.
        """
        if not self.has_durations:
            return np.full(len(self), np.nan), np.full(len(self), np.nan)
        lower_s, upper_s = self.bins.lower_s[self.duration_bin_idx], self.bins.upper_s[self.duration_bin_idx]
        so_far_s = np.maximum(self.censor_s - self.arrival_s, lower_s)
        return np.where(self.censored, so_far_s, lower_s), np.where(self.censored, np.inf, upper_s)


def read_azure_vm2017(root: str | Path, split: str = "train") -> AzureVms:
    """Read arrivals, and lifetimes where the release has them.

    Args:
        root: Data root, the folder that holds `azure_vm2017_rnn/`.
        split: "train" (days 0 to 20.8) or "dev" (the 3.5 days after).

    Raises:
        ConfigError: If `split` is another word.
        TraceError: If a file is missing or malformed, or arrivals and lifetimes do not match.
    """
    if split not in SPLITS:
        raise ConfigError(f"split={split!r}; allowed: {', '.join(SPLITS)}")
    folder = Path(root) / AZURE_VM2017
    flavours = _read_flavours(locate(folder, "flav_map.txt"))
    bins = _read_bins(locate(folder, "v1.interval_map.txt"))
    arrivals_path = locate(folder, f"v1.{split}.txt")
    times, letters, batch_idx, shape = _read_items(arrivals_path)
    flavour_idx = _flavour_indices(arrivals_path, letters, shape, flavours)
    duration = _read_durations(folder, split, shape, len(bins))
    duration_bin_idx, censored, censor_s = duration or (np.full(len(letters), NO_BIN, np.int32), None, np.nan)
    return AzureVms(
        split=split,
        flavours=flavours,
        bins=bins,
        arrival_s=np.asarray(times, dtype=np.float64),
        flavour_idx=flavour_idx,
        batch_idx=np.asarray(batch_idx, dtype=np.int32),
        duration_bin_idx=duration_bin_idx,
        censored=np.zeros(len(letters), dtype=np.bool_) if censored is None else censored,
        censor_s=censor_s,
        has_durations=duration is not None,
    )


_Shape = list[tuple[int, tuple[int, ...]]]
"""Per line: time in seconds, and the sizes of its batches."""


def _read_flavours(path: Path) -> AzureFlavours:
    sizes: dict[str, tuple[int, int]] = {}
    for row, line in _lines(path):
        size, _, letter = line.partition(" ")
        numbers = [parse_number(text) for text in size.split(",")]
        scaled = [n * f for n, f in zip(numbers, (CPU_MILLI, MIB_PER_GIB), strict=False) if n is not None and n > 0]
        if len(numbers) != 2 or len(scaled) != 2 or not all(value.is_integer() for value in scaled):
            raise row_error(path, row, "size", size, "vCPU,GB in whole milli-cores and MiB, both above 0: 2,3.5")
        if len(letter) != 1 or letter in sizes or letter in ",| ":
            raise row_error(path, row, "flavour", letter, "one letter that is not used before")
        sizes[letter] = (int(scaled[0]), int(scaled[1]))
    if not sizes:
        raise _no_rows(path)
    table = np.asarray(list(sizes.values()), dtype=np.int32)
    return AzureFlavours(tuple(sizes), table[:, 0].copy(), table[:, 1].copy())


def _read_bins(path: Path) -> AzureDurationBins:
    lower: list[float] = []
    upper: list[float] = []
    for row, line in _lines(path):
        second, _, number = line.partition(" ")
        if second != str((row - 1) * STEP_SECONDS):
            raise row_error(path, row, "seconds", second, f"{(row - 1) * STEP_SECONDS}, a row for every 300 s from 0")
        if number == str(len(lower)):
            lower.append(float(second))
            upper.append(float(second))
        elif lower and number == str(len(lower) - 1):
            upper[-1] = float(second)
        else:
            raise row_error(path, row, "bin", number, f"the bin of the row before, or {len(lower)} for a new one")
    if not lower:
        raise _no_rows(path)
    beyond = upper[-1] + STEP_SECONDS
    return AzureDurationBins(np.asarray([*lower, beyond]), np.asarray([*upper, np.inf]))


def _read_items(path: Path) -> tuple[list[int], list[str], list[int], _Shape]:
    """Times, items and batch numbers of all entries, and the shape of the file."""
    times: list[int] = []
    items: list[str] = []
    batch_idx: list[int] = []
    shape: _Shape = []
    num_batches, last = 0, -1
    for row, line in _lines(path):
        second, _, text = line.partition(" ")
        if re.fullmatch(r"\d+", second, re.ASCII) is None or int(second) <= last:
            raise row_error(path, row, "time", second, "whole seconds, more than in the row before")
        last = int(second)
        sizes = []
        for batch in _batches(path, row, text):
            items += batch
            batch_idx += [num_batches] * len(batch)
            sizes.append(len(batch))
            num_batches += 1
        times += [last] * sum(sizes)
        shape.append((last, tuple(sizes)))
    if not items:
        raise _no_rows(path)
    return times, items, batch_idx, shape


def _batches(path: Path, row: int, text: str) -> list[list[str]]:
    if not text:
        return []
    *parts, tail = f",{text}".split(f",{_BATCH_END}")
    if tail:
        raise row_error(path, row, "end of line", text[-20:], "a line that ends with '|'; this one may be cut short")
    batches = [part.split(",")[1:] for part in parts]
    for number, batch in enumerate(batches, start=1):
        if not batch or "" in batch:
            raise row_error(path, row, f"batch {number}", ",".join(batch), "at least one item, none empty")
    return batches


def _flavour_indices(path: Path, letters: list[str], shape: _Shape, flavours: AzureFlavours) -> IntArray:
    number = {letter: k for k, letter in enumerate(flavours.letter)}
    out = np.asarray([number.get(letter, -1) for letter in letters], dtype=np.int32)
    bad = np.flatnonzero(out < 0)
    if bad.size:
        row, item = _position(shape, int(bad[0]))
        raise row_error(path, row, f"item {item}", letters[bad[0]], f"flavours {', '.join(flavours.letter)}")
    return out


def _read_durations(folder: Path, split: str, shape: _Shape, num_bins: int) -> tuple[IntArray, BoolArray, float] | None:
    found = {}
    for path in sorted(folder.iterdir()):
        match = _DURATION_FILE.fullmatch(path.name)
        if match is not None and match[1] == split:
            found[path.name.removesuffix(".gz")] = float(match[2])
    if not found:
        return None
    if len(found) > 1:
        raise TraceError(f"{folder}: {', '.join(found)}; one file of lifetimes per split is allowed; remove the others")
    name, censor_s = found.popitem()
    path = locate(folder, name)
    _, items, _, own_shape = _read_items(path)
    _check_same_shape(path, own_shape, shape)
    for k, item in enumerate(items):
        if _DURATION.fullmatch(item) is None or int(item[1:]) >= num_bins:
            row, position = _position(shape, k)
            raise row_error(path, row, f"item {position}", item, f"U or C and a bin from 0 to {num_bins - 1}")
    bins = np.asarray([int(item[1:]) for item in items], dtype=np.int32)
    return bins, np.asarray([item[0] == "C" for item in items], dtype=np.bool_), censor_s


def _check_same_shape(path: Path, shape: _Shape, partner: _Shape) -> None:
    for row, ((second, sizes), (other_second, other_sizes)) in enumerate(zip(shape, partner, strict=False), start=1):
        if second != other_second:
            raise row_error(path, row, "time", second, f"{other_second}, as in the file of arrivals")
        for number, (size, other) in enumerate(zip_longest(sizes, other_sizes, fillvalue=0), start=1):
            if size != other:
                raise row_error(path, row, f"batch {number}", f"{size} items", f"{other}, as in the file of arrivals")
    if len(shape) != len(partner):
        raise TraceError(f"{path}: {len(shape)} lines, the file of arrivals has {len(partner)}; download both again")


def _position(shape: _Shape, k: int) -> tuple[int, int]:
    """Row and position in the row, both from 1, of entry `k` of the file."""
    ends = np.cumsum([sum(sizes) for _, sizes in shape])
    row = int(np.searchsorted(ends, k, side="right"))
    return row + 1, k - (int(ends[row - 1]) if row else 0) + 1


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with open_text(path) as text:
        for row, line in enumerate(text, start=1):
            yield row, line.rstrip("\r\n")


def _no_rows(path: Path) -> TraceError:
    return TraceError(f"{path}: 0 entries; at least one is needed; download it again")
