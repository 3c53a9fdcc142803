"""`python -m archrl.traces`: output and exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from archrl.traces import __main__ as cli
from archrl.traces import default_root, registry
from tests.traces.upstream import FILES, NAME, Upstream


def test_fetch_then_verify_then_list(
    tmp_path: Path, upstream: Upstream, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "TRACE_SETS", registry.TRACE_SETS)
    root = ["--root", str(tmp_path)]
    assert cli.main(["list", *root]) == 0
    assert f"{NAME}: absent; 3 files, 0.5 MB" in capsys.readouterr().out
    assert cli.main(["fetch", NAME, *root]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{NAME}: complete in {tmp_path / NAME}; licence: none\n"
    lines = captured.err.splitlines()
    assert lines[0] == f"{NAME}: 1/3 a.csv, 300,000 bytes"
    assert len(lines) == len(FILES), "a log has one line per file"
    assert cli.main(["verify", NAME, *root]) == 0
    assert capsys.readouterr().out == f"{NAME}: 3 of 3 files are the original\n"
    assert cli.main(["list", *root]) == 0
    assert f"{NAME}: present" in capsys.readouterr().out


def test_a_terminal_gets_a_bar(
    tmp_path: Path, upstream: Upstream, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.main(["fetch", NAME, "--root", str(tmp_path)]) == 0
    shown = capsys.readouterr().err
    assert "100%" in shown
    assert "450k/450k" in shown


def test_verify_fails_on_a_changed_file(tmp_path: Path, upstream: Upstream, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["fetch", NAME, "--root", str(tmp_path)])
    (tmp_path / NAME / "a.csv").write_bytes(b"x")
    capsys.readouterr()
    assert cli.main(["verify", NAME, "--root", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert f"{NAME}: a.csv: changed (" in out
    assert f"{NAME}: 2 of 3 files are the original" in out


def test_a_failed_download_is_exit_code_1(
    tmp_path: Path, upstream: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.behaviours["a.csv"] = ["status:404"]
    assert cli.main(["fetch", NAME, "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: http://127.0.0.1")
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(
    "args", [["fetch", "small"], ["verify", "small"], ["fetch", NAME, "--base-url", "http://example.org"]]
)
def test_a_wrong_argument_is_exit_code_2(
    tmp_path: Path, upstream: Upstream, capsys: pytest.CaptureFixture[str], args: list[str]
) -> None:
    assert cli.main([*args, "--root", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("args", [[], ["fetch"], ["fetch", NAME, "--unknown"], ["fetchh", NAME]])
def test_a_wrong_command_line_is_exit_code_2(upstream: Upstream, args: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(args)
    assert caught.value.code == 2


def test_an_interruption_says_how_to_continue(
    tmp_path: Path, upstream: Upstream, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "fetch_trace_set", interrupted)
    assert cli.main(["fetch", NAME, "--root", str(tmp_path)]) == 130
    assert "run the same command again to continue" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path, repository: Path) -> None:
    environment = {**os.environ, "ARCHRL_DATA": str(tmp_path), "PYTHONPATH": str(repository), "PYTHONUNBUFFERED": "1"}
    command = f"{sys.executable} -m archrl.traces list | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def test_the_default_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ARCHRL_DATA", str(tmp_path / "named"))
    assert default_root() == tmp_path / "named"
    monkeypatch.setenv("ARCHRL_DATA", "")
    assert default_root() == tmp_path / ".cache" / "archrl"
    monkeypatch.delenv("ARCHRL_DATA")
    assert default_root() == tmp_path / ".cache" / "archrl"


def test_the_module_runs(tmp_path: Path, repository: Path) -> None:
    environment = {**os.environ, "ARCHRL_DATA": str(tmp_path), "PYTHONPATH": str(repository)}
    done = subprocess.run(
        [sys.executable, "-m", "archrl.traces", "list"], env=environment, capture_output=True, text=True, check=True
    )
    assert f"data root: {tmp_path}" in done.stdout
    assert done.stdout.count(": absent; ") == len(registry.TRACE_SETS) >= 10
    assert done.stdout.count("licence:") == done.stdout.count("source:") == len(registry.TRACE_SETS)
