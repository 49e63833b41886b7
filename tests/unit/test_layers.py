"""import-linter's contracts hold for the package's imports, and each would notice an import against it.

One graph of the imports is built, in this process; what breaks a contract is an import added to a copy of it.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import grimp
import pytest
from importlinter import Contract
from importlinter.api import read_configuration
from importlinter.contracts.acyclic_siblings import AcyclicSiblingsContract
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract

PROJECT = Path(__file__).resolve().parents[2]
CONFIGURATION = read_configuration(str(PROJECT / "pyproject.toml"))
CONTRACT_TYPES: dict[str, type[AcyclicSiblingsContract | ForbiddenContract | LayersContract]] = {
    "acyclic_siblings": AcyclicSiblingsContract,
    "forbidden": ForbiddenContract,
    "layers": LayersContract,
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """All imports of the package, as its contracts want to see them."""
    settings = CONFIGURATION["session_options"]
    return grimp.build_graph(
        *settings["root_packages"],
        include_external_packages=settings["include_external_packages"] == "True",
        exclude_type_checking_imports=settings["exclude_type_checking_imports"] == "True",
        cache_dir=None,
    )


def contracts() -> list[Contract]:
    return [
        CONTRACT_TYPES[options["type"]](
            name=options["name"], session_options=CONFIGURATION["session_options"], contract_options=options
        )
        for options in CONFIGURATION["contracts_options"]
    ]


def broken(graph: grimp.ImportGraph) -> list[str]:
    """The names of the contracts that these imports break. A check may change its graph, so each gets its own."""
    return [contract.name for contract in contracts() if not contract.check(deepcopy(graph), verbose=False).kept]


def test_the_graph_is_that_of_this_checkout(graph: grimp.ImportGraph) -> None:
    package = PROJECT / "runbook_lib"
    modules = {".".join(file.relative_to(PROJECT).with_suffix("").parts) for file in package.rglob("*.py")}
    assert {module.removesuffix(".__init__") for module in modules} <= graph.modules


def test_imports_keep_to_the_layers(graph: grimp.ImportGraph) -> None:
    assert broken(graph) == [], "the command lint-imports shows which imports these are"


@pytest.mark.parametrize(
    ("module", "imported", "contract"),
    [
        ("runbook_lib.model.results", "runbook_lib.transport.ssh", "Imports point downward only"),
        ("runbook_lib.facts.docker.engine", "runbook_lib.testbed", "does not know the testbed"),
        ("runbook_lib.cluster", "paramiko", "paramiko belongs to transport.ssh"),
        ("runbook_lib.cluster", "docker", "docker belongs to transport.docker"),
        ("runbook_lib.session.session", "papermill", "papermill belongs to execute"),
        ("runbook_lib.records.writer", "fsspec", "Each library of the archive has one owner"),
        ("runbook_lib.facts.docker.networks", "runbook_lib.facts.overlay.gossip", "No circle"),
    ],
)
def test_an_import_against_the_layers_is_found(
    graph: grimp.ImportGraph, module: str, imported: str, contract: str
) -> None:
    assert {module, imported} <= graph.modules
    changed = deepcopy(graph)
    changed.add_import(importer=module, imported=imported, line_number=1, line_contents=f"import {imported}")
    assert any(contract in name for name in broken(changed)), broken(changed)
