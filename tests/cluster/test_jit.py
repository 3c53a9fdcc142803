"""The disk cache of kernels notices a change in every file that compiled code is made of."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import archrl
from archrl.cluster import step
from archrl.cluster.jit import (
    COMMON_FILES,
    KERNEL_FILES,
    PLACEMENT_FILES,
    SERVICE_FILES,
    files_behind,
    kernel,
    sources_stamp,
)

PACKAGE = Path(archrl.__file__).parent


def test_every_file_with_kernels_is_watched():
    with_kernels = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search("from archrl.cluster.jit import .*(kernel|inlined)", path.read_text(encoding="utf-8"))
    }
    assert len(with_kernels) >= 6
    assert with_kernels <= set(KERNEL_FILES)
    assert all((PACKAGE / name).is_file() for name in KERNEL_FILES)


def test_the_stamp_is_the_content():
    assert len(sources_stamp()) == 64
    assert sources_stamp() == sources_stamp()


def test_a_kernel_is_watched_with_the_files_of_its_model():
    assert files_behind(step.__file__) == (*COMMON_FILES, *PLACEMENT_FILES)
    assert files_behind(__file__) == KERNEL_FILES
    assert sources_stamp(files_behind(step.__file__)) != sources_stamp()


def test_the_models_import_each_other_in_no_kernel_file():
    """What a model's kernels are made of is in its own list or in the common one."""
    for files, others in ((PLACEMENT_FILES, SERVICE_FILES), (SERVICE_FILES, PLACEMENT_FILES)):
        modules = [name.removesuffix(".py").replace("/", ".") for name in others]
        for name in files:
            text = (PACKAGE / name).read_text(encoding="utf-8")
            found = [module for module in modules if re.search(rf"archrl\.{re.escape(module)}\b", text)]
            assert not found, name


@kernel
def divide(first, second):
    return first / second


def test_kernels_divide_as_numpy_does():
    """IEEE division: no Python error inside a kernel."""
    assert divide(1.0, 0.0) == np.inf
    assert np.isnan(divide(0.0, 0.0))


def test_an_index_of_other_sources_is_not_even_unpickled(tmp_path):
    """It may name classes that are gone: unpickling it would end the program."""
    file = divide._cache._cache_file
    written = type(file)(str(tmp_path), "kernel", file._source_stamp)
    written._version = file._version
    written.save("signature", "compiled")
    assert written.load("signature") == "compiled"
    path = tmp_path / "kernel.nbi"
    version, rest = pickle.dumps("older sources"), b"\x80\x04\x8c\x07no_such\x8c\x04Gone\x93."
    path.write_bytes(version + rest)
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(rest)
    assert written.load("signature") is None
