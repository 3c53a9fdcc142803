from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from archrl.errors import ArchrlError
from archrl.files import staged_file, write_bytes_atomic, write_text_atomic


def test_text_is_written_as_it_is_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "new" / "folder" / "table.md"
    write_text_atomic(path, "a\r\nb\n\u00e9")
    assert path.read_bytes() == b"a\r\nb\n\xc3\xa9"
    write_bytes_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(path.parent) == ["table.md"]


def test_new_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_text("")
    write_text_atomic(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_keeps_pointing_at_the_replaced_file(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_text_atomic(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_write_that_the_system_cuts_off_keeps_the_old_file(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("old")
    code = (
        "import resource, sys; from archrl.files import write_bytes_atomic;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); write_bytes_atomic(sys.argv[1], bytes(5000))"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"ArchrlError: cannot write {path}: File too large" in result.stderr
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["rows.csv"]


def test_full_disk_is_named_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    path.write_text("old")

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(
        ArchrlError, match=r"cannot write .*rows\.csv: No space left on device; the file is left as it was"
    ):
        write_text_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["rows.csv"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_an_interrupted_block_keeps_the_old_file_and_its_own_error(error, tmp_path):
    path = tmp_path / "figure.png"
    path.write_text("old")
    with pytest.raises(error), staged_file(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["figure.png"]


def test_a_staged_file_keeps_the_suffix_and_appears_at_the_end(tmp_path):
    path = tmp_path / "model.zip"
    with staged_file(path) as temporary:
        temporary.write_bytes(b"weights")
        assert temporary.suffix == ".zip"
        assert temporary.parent == tmp_path
        assert not path.exists()
    assert path.read_bytes() == b"weights"


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(ArchrlError, match="No such file"), staged_file(tmp_path / "x.csv"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_folder_as_target_is_an_error(tmp_path):
    with pytest.raises(ArchrlError, match="Is a directory"):
        write_text_atomic(tmp_path, "x")
    assert os.listdir(tmp_path) == []
