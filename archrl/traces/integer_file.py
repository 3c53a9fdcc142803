"""Reading of files that are one stream of whitespace-separated integers, every bad token named by line and position.

The whole file becomes one array; nothing loops over tokens, so that a file of millions of numbers reads in a moment.
Lines, and tokens within their line, are counted from 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archrl.errors import TraceError
from archrl.traces.table import BoolArray, open_text

Int64Array = NDArray[np.int64]

INTEGER_LIMIT = 2**53
"""Every integer of a file is below this in size, so that a float64 holds it exactly."""
_REMEDY = "Correct the file or download it again (python -m archrl.traces verify NAME tells whether it is the original)"


@dataclass
class IntegerFile:
    """The integers of a file, and how far they have been taken."""

    path: Path
    text: str
    values: Int64Array  # (T,) all tokens
    position: int = 0  # of the next token

    @property
    def left(self) -> int:
        """Integers that have not been taken."""
        return len(self.values) - self.position

    def take(self, rows: int, columns: int, what: str) -> IntegerBlock:
        """The next `rows * columns` integers.

        Raises:
            TraceError: The file ends before them.
        """
        self.expect(rows, columns, what)
        values = self.values[self.position :][: rows * columns].reshape(rows, columns)
        block = IntegerBlock(self, self.position, values)
        self.position += rows * columns
        return block

    def expect(self, rows: int, columns: int, what: str) -> None:
        """At least `rows * columns` integers are left.

        Raises:
            TraceError: The file ends before them.
        """
        if rows * columns > self.left:
            raise TraceError(
                f"{self.path}, {self._where(self.position)}: truncated file, or more {what} declared than given: "
                f"{rows} {what} with {columns} integers or more are expected, {self.left} integers are left. {_REMEDY}"
            )

    def number(self, name: str, least: int = 0) -> int:
        """The next integer, at least `least`.

        Raises:
            TraceError: The file ends, or the integer is smaller.
        """
        block = self.take(1, 1, name)
        block.check(block.values >= least, 0, name, f"{least} or more")
        return int(block.values[0, 0])

    def finish(self) -> None:
        """Nothing is left.

        Raises:
            TraceError: There are more integers.
        """
        if self.left:
            raise TraceError(
                f"{self.path}, {self._where(self.position)}: over-long file, {self.left} integers after the last one "
                f"that belongs to it. {_REMEDY}"
            )

    def error(self, index: int, name: str, rule: str) -> TraceError:
        """The error of the integer with that index in the file."""
        return TraceError(f"{self.path}, {self._where(index)}: {name} {self.values[index]}; allowed: {rule}. {_REMEDY}")

    def _where(self, index: int) -> str:
        return _where(self.text, index) if index < len(self.values) else "end of the file"


@dataclass(frozen=True)
class IntegerBlock:
    """Consecutive integers of a file as a table."""

    file: IntegerFile
    first: int  # index of the first one in the file
    values: Int64Array  # (rows, columns)

    def check(self, allowed: BoolArray, column: int, name: str, rule: str) -> None:
        """The integers of some columns are allowed.

        Args:
            allowed: Which of them are, (rows,) or (rows, k).
            column: The first of these columns.
            name: What the integers are.
            rule: What may be there.

        Raises:
            TraceError: For the first that is not.
        """
        if allowed.all():
            return
        row, offset = np.argwhere(~allowed.reshape(len(self.values), -1))[0]
        index = self.first + int(row) * self.values.shape[1] + column + int(offset)
        raise self.file.error(index, f"{name} of row {row}" if len(self.values) > 1 else name, rule)


def read_integers(path: Path) -> IntegerFile:
    """Read a file of whitespace-separated integers, plain or gzip-compressed.

    Raises:
        TraceError: The file cannot be read, or a token is no integer below 2**53 in size.
    """
    with open_text(path) as stream:
        text = stream.read()
    index = _first_malformed(text)
    if index is None:
        values = np.fromstring(text if text.strip() else "", dtype=np.int64, sep=" ")
        large = np.flatnonzero((values >= INTEGER_LIMIT) | (values <= -INTEGER_LIMIT))
        if not large.size:
            return IntegerFile(path, text, values)
        index = int(large[0])
    token = text[_starts(text)[index] :][:60].split()[0]
    raise TraceError(f"{path}, {_where(text, index)}: {token!r}; allowed: an integer below 2**53 in size. {_REMEDY}")


def _first_malformed(text: str) -> int | None:
    """Index of the first token that is not digits with at most one minus sign before them."""
    code, space = _codes(text), _spaces(text)
    digit, minus = (code >= ord("0")) & (code <= ord("9")), code == ord("-")
    opening, before_digit = np.ones_like(space), np.zeros_like(space)
    opening[1:], before_digit[:-1] = space[:-1], digit[1:]
    bad = np.flatnonzero(~(space | digit | (minus & opening & before_digit)))
    return int(np.searchsorted(_starts(text), bad[0], side="right")) - 1 if bad.size else None


def _codes(text: str) -> NDArray[np.uint8]:
    """One byte for each character."""
    return np.frombuffer(text.encode("ascii", "replace"), np.uint8)


def _spaces(text: str) -> BoolArray:
    code = _codes(text)
    spaces: BoolArray = (code == ord(" ")) | ((code >= ord("\t")) & (code <= ord("\r")))
    return spaces


def _starts(text: str) -> Int64Array:
    """Offset of the first character of each token."""
    space = _spaces(text)
    starts = ~space
    starts[1:] &= space[:-1]
    return np.flatnonzero(starts)


def _where(text: str, index: int) -> str:
    """Line and token of a token, both from 1."""
    starts = _starts(text)
    line_start = text.rfind("\n", 0, int(starts[index])) + 1
    line = text.count("\n", 0, int(starts[index])) + 1
    return f"line {line}, token {index - int(np.searchsorted(starts, line_start)) + 1}"
