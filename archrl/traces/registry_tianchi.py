"""Files of the Tianchi 2018 set: upstream place at a pinned commit, size and SHA-256 of the original."""

from __future__ import annotations

from archrl.traces.registry_files import _GITHUB, TraceFile

_KONNASE = f"{_GITHUB}/konnase/tianchi/0b95cb01682bdc0092c5cb304949ae1a1b658e8e"

TIANCHI_FILES = (
    TraceFile(
        "README.judge.md",
        1_958,
        "2efdb2ff2dc47b346b2ddc3db70622280e0d2c735d2afe8bcbdd4ead95778c59",
        f"{_KONNASE}/archive/pre_judge/README.md",
    ),
    TraceFile(
        "README.pre_data_b.md",
        2_389,
        "23ad65f12b808105e8e00cc9e13eb849f077200418c4e2c7149f8f568ded5feb",
        f"{_KONNASE}/archive/pre_data_b/README.md",
    ),
    TraceFile(
        "pre_data_b_request",
        1_247_518,
        "2f5265cf56a8dc45f820125bd422a4a0f7ec3f388efbbdea1a8fba374d852cd9",
        f"{_KONNASE}/archive/pre_data_b/request",
    ),
    TraceFile(
        "preliminary_dataB_20180726.zip",
        2_132_161,
        "f61662c07796103388c7e9df8fdfd0dd21492a02df9045516ec5fbaabe5912af",
        f"{_KONNASE}/data/preliminary_dataB_20180726.zip",
    ),
    TraceFile(
        "search-result.zip",
        732_693,
        "79e5224573e8db86b96956247a11e1a45ce726bb49d9d1152cc8af7d3045d840",
        f"{_KONNASE}/archive/pre_data_b/search-result.zip",
    ),
)
