"""Reading of JSON trace files, plain or gzip-compressed: no key twice, no number that is not finite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from archrl.errors import TraceError
from archrl.traces.table import open_text


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        TraceError: If the file is damaged or no JSON, or has a key twice in one object, NaN or Infinity.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise TraceError(f"{path}: key {twice!r} occurs twice in one object; allowed: once; download it again")
        return content

    def refuse(text: str) -> NoReturn:
        raise TraceError(f"{path}: number {text}; allowed: finite numbers; download it again")

    with open_text(path) as text:
        try:
            return json.load(text, object_pairs_hook=once, parse_constant=refuse)
        except json.JSONDecodeError as error:
            raise TraceError(
                f"{path}, row {error.lineno}, column {error.colno}: not JSON ({error.msg}); download it again"
            ) from error
