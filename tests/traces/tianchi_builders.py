"""A small data set in the shape of Tianchi 2018. The content is made here."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

FLAT = "|".join(["0.500000"] * 98)
RISING = "|".join(f"{k / 8:.6f}" for k in range(98))
FILES = {
    "app_resources": f"app_1,{FLAT},{FLAT},60.000000,0,0,0\napp_2,{RISING},{FLAT},80.000000,1,0,1\n"
    f"app_3,{RISING},{RISING},100.000000,0,0,0\n",
    "machine_resources": "machine_1,32,64,1440,7,3,7\nmachine_2,92,288,2457,7,7,9\n",
    "instance_deploy": "inst_7,app_1,machine_2\ninst_5,app_1,machine_1\ninst_3,app_3,\ninst_1,app_2,machine_2\n",
    "app_interference": "app_1,app_1,2\napp_3,app_2,4\napp_1,app_3,0\n",
}
SOLUTION = "total(1.2,0.5,200): {60,100,80} (inst_5,inst_3,inst_1)\r\ntotal(1.000000,0.50,60): {60} (inst_7)\r\n"


def write_tianchi(root: Path, changed: Mapping[str, str | None] | None = None, solution: str = SOLUTION) -> Path:
    """Both archives below `root`; `changed` files have other content, None leaves a file out. Returns the root."""
    folder = root / "tianchi2018"
    folder.mkdir()
    with zipfile.ZipFile(folder / "preliminary_dataB_20180726.zip", "w") as archive:
        for kind, text in (FILES | dict(changed or {})).items():
            if text is not None:
                archive.writestr(f"scheduling_preliminary_b_{kind}_20180726.csv", text)
    with zipfile.ZipFile(folder / "search-result.zip", "w") as archive:
        archive.writestr("search-result/", "")
        archive.writestr("search-result/search_6090_34_5024m", solution)
    return root
