"""Says which distributions of the running environment are incomplete; scripts/setup repairs what it names.

`check_install.py` prints the distributions that are installed. `check_install.py LIST` prints those that lack a file
which their installation recorded (a killed or half-deleted installation leaves such, and pip takes them for
installed), and those in the file LIST, if there is one, that are missing. One `name==version` a line; local version
labels such as `+cpu` are left out.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path


def label(distribution: Distribution) -> str:
    """Return `name==version` without the local version label."""
    return f"{distribution.name}=={distribution.version.partition('+')[0]}"


def is_whole(distribution: Distribution) -> bool:
    """Return whether every recorded file but the compiled ones is there."""
    folder = str(distribution.locate_file(""))
    recorded = (distribution.read_text("RECORD") or "").splitlines()
    names = (line.rsplit(",", 2)[0].strip('"') for line in recorded)
    return all(name.endswith(".pyc") or os.path.exists(os.path.join(folder, name)) for name in names)


def main() -> None:
    """Print what is installed, or what is damaged where a list is given."""
    found = list(distributions())
    names = {label(item) for item in found}
    if len(sys.argv) > 1:
        listed = Path(sys.argv[1])
        expected = set(listed.read_text().splitlines()) if listed.exists() else set()
        names = expected - names | {label(item) for item in found if not is_whole(item)}
    for name in sorted(names):
        print(name)


if __name__ == "__main__":
    main()
