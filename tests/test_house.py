"""The rules of the house that no linter knows: light imports, import order, sizes, whole files."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("archrl", "agents", "scripts")

MODULES_AT_MOST = 450
"""Modules loaded by `import archrl`: Gymnasium and NumPy alone load about 340, pandas or scipy would add 300 more."""
FILE_LINES_AT_MOST = 400
FUNCTION_LINES_AT_MOST = 40


def sources(*folders: str) -> list[Path]:
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert files, f"no Python file under {folders}"
    return files


def run_python(code: str, *arguments: str, cwd: str = "/") -> str:
    command = [sys.executable, "-c", code, *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


# --- imports


def test_import_archrl_is_light():
    loaded = run_python("import sys, archrl; print('\\n'.join(sys.modules))").split()
    heavy = {"torch", "stable_baselines3", "sb3_contrib", "tensorboard", "linopy", "highspy", "pandas", "matplotlib"}
    assert not heavy & set(loaded)
    assert len(loaded) <= MODULES_AT_MOST


@pytest.mark.parametrize("package", ["archrl", "archrl_agents"])
def test_every_module_can_be_imported_from_anywhere(package):
    """A main that runs at import, a relative path or a parser of `sys.argv` at module level fails here."""
    code = (
        "import importlib, pkgutil, sys; package = importlib.import_module(sys.argv[1]);"
        "sys.argv[1:] = ['--hostile', 'train', '--seed', 'x', '-h'];"
        "names = [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + '.')];"
        "[importlib.import_module(name) for name in names]; print(*names)"
    )
    imported = run_python(code, package).split()
    folder = {"archrl": "archrl", "archrl_agents": "agents"}[package]
    assert len(imported) == len(sources(folder)) - 1


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command as main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copied_tree(tmp_path: Path) -> Path:
    for name in ("archrl", "agents"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "archrl_agents").symlink_to("agents")
    return tmp_path


def test_rooms_import_only_rooms_above_them(copied_tree):
    result = lint_imports(copied_tree)
    assert result.returncode == 0, result.stdout
    assert "3 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("archrl/errors.py", "import archrl.units"),
        ("archrl/traces/__init__.py", "import archrl.scenarios"),
        ("archrl/envs/__init__.py", "import archrl.baselines"),
        ("archrl/evaluation/__init__.py", "import torch"),
        ("archrl/baselines/__init__.py", "import archrl_agents"),
        ("agents/__init__.py", "import archrl.baselines"),
    ],
)
def test_an_import_against_the_order_is_found(copied_tree, module, line):
    with (copied_tree / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    result = lint_imports(copied_tree)
    assert result.returncode == 1
    assert "BROKEN" in result.stdout


def test_nothing_imports_scripts_papers_or_tests():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} imports {name}"
        for path in sources("archrl", "agents")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in imported_names(node)
        if name.partition(".")[0] in ("scripts", "papers", "tests", "agents")
    ]
    assert not wrong


def imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []


# --- sizes


def test_files_are_short():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in sources(*ROOMS)
    }
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES_AT_MOST} == {}


def test_functions_are_short():
    too_long = {}
    for path in sources(*ROOMS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and code_lines(node) > FUNCTION_LINES_AT_MOST:
                too_long[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = code_lines(node)
    assert too_long == {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, the docstring left out: it may be as long as the formula's explanation needs."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    is_docstring = ast.get_docstring(function, clean=False) is not None
    return lines - ((first.end_lineno or 0) - first.lineno + 1 if is_docstring else 0)


# --- files


def file_calls(path: Path) -> list[tuple[int, str, bool]]:
    """Return (line, call, whether it writes) for every call in `path` that opens a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in ("read_text", "read_bytes", "write_text", "write_bytes", "loadtxt", "savetxt", "read_csv"):
            found.append((node.lineno, name, name.startswith(("write", "save"))))
        elif name == "open":
            modes = [
                item.value for item in [*node.args, *(k.value for k in node.keywords)] if isinstance(item, ast.Constant)
            ]
            found.append(
                (
                    node.lineno,
                    name,
                    any(re.fullmatch(r"[rwaxbt+]{1,3}", str(m)) and set(str(m)) & set("wax+") for m in modes),
                )
            )
    return found


def test_only_some_rooms_open_files():
    """The kernels' decorator reads the project's own sources, to know whether a compiled kernel is still theirs; what
    all commands share opens the null device."""
    may_read = ("archrl/traces/", "archrl/evaluation/", "archrl/config.py", "archrl/files.py", "archrl/cluster/jit.py")
    may_read += ("archrl/command.py",)
    wrong = [
        f"{path.relative_to(ROOT)}:{line} {call}"
        for path in sources("archrl")
        for line, call, _ in file_calls(path)
        if not str(path.relative_to(ROOT)).startswith(may_read)
    ]
    assert wrong == []


def test_results_are_written_whole():
    """Outside `archrl.files`, and the downloads that resume a partial file, nothing writes to a path itself."""
    may_write = ("archrl/traces/", "archrl/files.py")
    wrong = [
        f"{path.relative_to(ROOT)}:{line} {call}: use archrl.files"
        for path in sources(*ROOMS)
        for line, call, writes in file_calls(path)
        if writes and not str(path.relative_to(ROOT)).startswith(may_write)
    ]
    assert wrong == []
