"""The distribution ships the three packages whole, and nothing else."""

from __future__ import annotations

import configparser
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, SHIPPED

_DERIVED = frozenset({".pyc", ".pyo"})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this tree, built by the backend that is installed here: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("tutelage-*.whl")
    return zipfile.ZipFile(path)


def _files_of(package: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in _DERIVED
    }


def _dist_info(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (one for one in wheel.namelist() if one.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_the_wheel_holds_the_three_packages_and_its_metadata(wheel: zipfile.ZipFile) -> None:
    tops = {Path(name).parts[0] for name in wheel.namelist()}
    (dist_info,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {*SHIPPED, dist_info}


@pytest.mark.parametrize("package", SHIPPED)
def test_every_file_of_a_package_is_shipped(wheel: zipfile.ZipFile, package: str) -> None:
    shipped = {name for name in wheel.namelist() if name.startswith(package + "/")}
    assert shipped == _files_of(package)
    assert f"{package}/py.typed" in shipped


def test_the_licence_and_the_notice_travel_along(wheel: zipfile.ZipFile) -> None:
    assert "Apache License" in _dist_info(wheel, "licenses/LICENSE")
    assert "MiniLM" in _dist_info(wheel, "licenses/NOTICE")


def test_the_commands_are_declared(wheel: zipfile.ZipFile) -> None:
    declared = configparser.ConfigParser()
    declared.read_string(_dist_info(wheel, "entry_points.txt"))
    assert dict(declared["console_scripts"]) == {"tutelage": "router.cli:main"}
    plugged_in = dict(declared["tutelage.commands"]) if "tutelage.commands" in declared else {}
    assert all(place.startswith("distill.") for place in plugged_in.values())


def test_installing_it_brings_no_torch(wheel: zipfile.ZipFile) -> None:
    metadata = Parser().parsestr(_dist_info(wheel, "METADATA"))
    assert metadata["Requires-Python"] == ">=3.11"
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert needed
    assert [line for line in needed if line.startswith(("torch", "vllm"))] == []
