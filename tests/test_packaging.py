"""What users install: the wheel, the pins, the version, and the commands that set an environment up."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import archrl

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_listed_for_the_wheel():
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    found = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for room in ("archrl", "agents")
        for path in (ROOT / room).rglob("*.py")
    }
    assert listed == {re.sub(r"^agents", "archrl_agents", name) for name in found}
    assert all(
        (ROOT / re.sub(r"^archrl_agents", "agents", name).replace(".", "/") / "__init__.py").exists() for name in listed
    )


@pytest.mark.slow
def test_wheel_holds_only_names_of_ours_and_every_file(tmp_path):
    for name in ("archrl", "agents"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    version = PROJECT["project"]["version"]
    assert {name.partition("/")[0] for name in names} == {"archrl", "archrl_agents", f"archrl-{version}.dist-info"}
    files = [path.relative_to(tmp_path) for path in (tmp_path / "archrl").rglob("*") if path.is_file()]
    assert {str(path) for path in files} <= names
    assert f"archrl-{version}.dist-info/licenses/LICENSE" in names


def test_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["project"]["version"] == archrl.__version__ == citation["version"]
    assert re.search(
        rf"^## \[{re.escape(archrl.__version__)}\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M
    )


def test_licence_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["project"]["license"] == citation["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_every_requirement_is_pinned_to_a_tested_version_in_its_range():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.lower().replace("_", "-").split("==") for line in lines if not line.startswith("#"))
    groups = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    requirements = [Requirement(text) for group in groups for text in group]
    checked = [item for item in requirements if item.name != "archrl"]
    assert len(checked) >= 12
    assert [str(item) for item in checked if not item.specifier.contains(pinned.get(item.name.lower(), "0"))] == []


@pytest.mark.parametrize("name", ["scripts/setup", "scripts/test", "scripts/quickstart", ".ci/run"])
def test_commands_are_executable_and_parse(name):
    assert os.access(ROOT / name, os.X_OK)
    subprocess.run(["bash", "-n", str(ROOT / name)], check=True)


@pytest.fixture
def installed_package(tmp_path: Path) -> Path:
    """An environment with one distribution of two files, and the list that set-up would have written for it."""
    (tmp_path / "thing.py").write_text("")
    (tmp_path / "thing-1.0.dist-info").mkdir()
    (tmp_path / "thing-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0+cpu\n")
    (tmp_path / "thing-1.0.dist-info/RECORD").write_text("thing.py,,\nthing-1.0.dist-info/METADATA,,\nthing.pyc,,\n")
    (tmp_path / "list").write_text("thing==1.0\n")
    return tmp_path


def damaged(environment: Path) -> list[str]:
    command = [sys.executable, "-S", str(ROOT / "scripts/check_install.py"), str(environment / "list")]
    result = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(environment)}, capture_output=True, text=True, check=True
    )
    return result.stdout.split()


def test_a_whole_installation_is_left_alone(installed_package):
    assert damaged(installed_package) == []


@pytest.mark.parametrize("lost", ["thing.py", "thing-1.0.dist-info"])
def test_a_damaged_installation_is_named(installed_package, lost):
    path = installed_package / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert damaged(installed_package) == ["thing==1.0"]


def test_set_up_refuses_an_old_python(tmp_path):
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1 && exit 0\nexit 1\n')
    python.chmod(0o755)
    environment = os.environ | {"PYTHON": str(python), "ARCHRL_VENV": str(tmp_path / "venv")}
    result = subprocess.run(
        [str(ROOT / "scripts/setup")], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "Python 3.11 or newer is needed" in result.stderr
    assert "is Python 3.9.1" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_set_up_does_not_overwrite_a_folder_that_is_no_environment(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    environment = os.environ | {"PYTHON": sys.executable, "ARCHRL_VENV": str(tmp_path)}
    result = subprocess.run([str(ROOT / "scripts/setup")], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "is no virtual environment" in result.stderr
    assert (tmp_path / "thesis.tex").read_text() == "mine"
