"""pyproject.toml, requirements.lock and environment.yml say the same, and it is what is installed."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import runbook_lib
from runbook_lib.bootstrap import OLDEST_UV

PROJECT = Path(__file__).resolve().parents[2]
OLDEST_PYTHON = "3.11.0"


#: Libraries whose private parts are used, so that a release that nobody has tried may break them.
PRIVATE_PARTS_USED = {"nbclient", "papermill"}


def pin(requirement: Requirement) -> tuple[str, str]:
    """Return canonical name and exact version; a requirement that is not pinned fails the test."""
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", f"{requirement} is not pinned to one version"
    return canonicalize_name(requirement.name), specifier.version


def pyproject() -> dict[str, dict[str, Any]]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())


def declared() -> dict[str, SpecifierSet]:
    """Name -> range of what pyproject.toml names: the project's own, its extras', the build's."""
    table = pyproject()
    lines = [
        *table["project"]["dependencies"],
        *(line for extra in table["project"]["optional-dependencies"].values() for line in extra),
        *table["build-system"]["requires"],
    ]
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(requirement.name): requirement.specifier for requirement in requirements}


def lock_entries(file: str = "requirements.lock") -> list[tuple[Requirement, list[str]]]:
    """Return each requirement of a lock file with the SHA-256 sums that its files may have."""
    text = re.sub(r"^#.*\n", "", (PROJECT / file).read_text(), flags=re.MULTILINE)
    entries = text.replace("\\\n", "").splitlines()
    parts = (entry.split("--hash=sha256:") for entry in entries)
    return [(Requirement(requirement.strip()), [digest.strip() for digest in sums]) for requirement, *sums in parts]


def locked() -> list[Requirement]:
    return [requirement for requirement, _ in lock_entries()]


def locked_here() -> dict[str, str]:
    """Name -> version of what the lock file pins for the Python that runs this test."""
    return dict(pin(line) for line in locked() if line.marker is None or line.marker.evaluate())


def needed_here() -> set[str]:
    """Names of everything that is reachable from pyproject.toml through what the installed packages require."""
    waiting = [Requirement(f"{name}") for name in declared()]
    seen: dict[str, set[str]] = {}
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = {"", *requirement.extras}
        if name in seen and extras <= seen[name]:
            continue
        seen[name] = seen.get(name, set()) | extras
        for line in importlib.metadata.requires(name) or []:
            further = Requirement(line)
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(further)
    return set(seen)


def test_the_lock_file_has_every_declared_package_in_a_version_of_its_range() -> None:
    pinned = dict(pin(line) for line in locked() if line.marker is None)
    assert sorted(set(declared()) - set(pinned)) == []
    outside = {name: f"{pinned[name]}, not {span}" for name, span in declared().items() if pinned[name] not in span}
    assert outside == {}


def test_every_range_has_a_lower_bound_and_an_upper_one_only_for_a_known_reason() -> None:
    table = pyproject()["project"]
    lines = [*table["dependencies"], *(line for extra in table["optional-dependencies"].values() for line in extra)]
    operators = {
        canonicalize_name(requirement.name): sorted(part.operator for part in requirement.specifier)
        for requirement in map(Requirement, lines)
    }
    bounded = {name for name, found in operators.items() if found == ["<", ">="]}
    assert {name: found for name, found in operators.items() if name not in bounded and found != [">="]} == {}
    assert bounded == PRIVATE_PARTS_USED


def test_a_package_that_two_extras_name_has_one_range() -> None:
    table = pyproject()["project"]
    spans: dict[str, set[SpecifierSet]] = {}
    for line in (line for extra in table["optional-dependencies"].values() for line in extra):
        spans.setdefault(canonicalize_name(Requirement(line).name), set()).add(Requirement(line).specifier)
    assert {name: span for name, span in spans.items() if len(span) > 1} == {}


def test_the_version_stands_in_one_place() -> None:
    table = pyproject()
    assert "version" not in table["project"]
    assert table["project"]["dynamic"] == ["version"]
    assert table["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "runbook_lib.__version__"}
    assert importlib.metadata.version("overlay-runbook") == runbook_lib.__version__
    written = [
        path
        for path in (PROJECT / "runbook_lib").rglob("*.py")
        if re.search(rf"[\"']{re.escape(runbook_lib.__version__)}[\"']", path.read_text())
    ]
    assert written == [PROJECT / "runbook_lib/__init__.py"]


def test_the_lock_file_has_exactly_what_the_declared_packages_need() -> None:
    assert sorted(locked_here()) == sorted(needed_here())


def test_what_is_installed_is_what_the_lock_file_pins() -> None:
    installed = {name: importlib.metadata.version(name) for name in locked_here()}
    assert installed == locked_here()


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-uv.lock"])
def test_a_lock_file_has_the_hashes_of_every_package(file: str) -> None:
    entries = lock_entries(file)
    without = {str(requirement) for requirement, sums in entries if not sums}
    odd = {digest for _, sums in entries for digest in sums if not re.fullmatch(r"[0-9a-f]{64}", digest)}
    assert (without, odd) == (set(), set())


def test_uv_has_a_lock_file_of_its_own_with_a_version_that_is_recent_enough() -> None:
    (entry,) = lock_entries("requirements-uv.lock")
    name, version = pin(entry[0])
    assert name == "uv"
    assert Version(version).release >= OLDEST_UV


def test_the_conda_environment_installs_the_lock_file_and_nothing_else() -> None:
    conda = yaml.safe_load((PROJECT / "environment.yml").read_text())
    (from_pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    assert conda["name"] == pyproject()["project"]["name"]
    assert from_pip == ["--requirement requirements.lock"]


def test_the_conda_environment_asks_for_a_supported_python() -> None:
    conda = yaml.safe_load((PROJECT / "environment.yml").read_text())
    (python,) = [entry for entry in conda["dependencies"] if str(entry).startswith("python ")]
    oldest = SpecifierSet(pyproject()["project"]["requires-python"])
    assert str(oldest) in python.removeprefix("python ").split(",")


def test_every_pinned_package_runs_on_the_oldest_supported_python() -> None:
    refused = {}
    for name in locked_here():
        wanted = importlib.metadata.metadata(name).get("Requires-Python", "")  # type: ignore[attr-defined]  # as the standard library has it
        if not SpecifierSet(wanted).contains(OLDEST_PYTHON):
            refused[name] = wanted
    assert refused == {}


@pytest.mark.parametrize("file", ["pyproject.toml", "requirements.lock", "requirements-uv.lock", "environment.yml"])
def test_no_file_names_the_address_of_a_registry(file: str) -> None:
    text = (PROJECT / file).read_text()
    assert re.findall(r"https?://\S+|--(?:extra-)?index-url|--find-links|--trusted-host", text) == []
