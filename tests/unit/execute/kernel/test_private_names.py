"""What is built on Jupyter's classes uses their public names only: private ones change from version to version."""

from __future__ import annotations

import ast
import inspect
import textwrap

import pytest

from runbook_lib.execute.kernel.client import RunbookClient
from runbook_lib.execute.kernel.ipykernel_app import PacedOutput, RunbookKernelApp
from runbook_lib.execute.kernel.kernels import ProjectKernelManager
from runbook_lib.execute.kernel.notebook_saver import NotebookSaver

JUPYTER = ("nbclient", "papermill", "jupyter_client", "ipykernel")


def private_names(kind: type) -> set[str]:
    """The private names that a class's source defines on itself or takes from an instance."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    (definition,) = tree.body
    assert isinstance(definition, ast.ClassDef)
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in definition.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


@pytest.mark.parametrize("kind", [RunbookClient, NotebookSaver, ProjectKernelManager, PacedOutput, RunbookKernelApp])
def test_no_private_name_of_jupyters_classes_is_used_or_replaced(kind: type) -> None:
    ours = {name for base in kind.__mro__ if base.__module__.startswith("runbook_lib") for name in private_names(base)}
    bases = [base for base in kind.__mro__ if base.__module__.split(".")[0] in JUPYTER]
    assert bases
    theirs = {name for base in bases for name in private_names(base)}
    assert not ours & theirs


def test_a_name_that_is_shared_would_be_noticed() -> None:
    assert "_flush_buffers" in private_names(PacedOutput.__mro__[1])
    assert {"_unsent", "_write"} <= private_names(PacedOutput)
