"""The clusters of a batch, one parameter file each, all validated before the first job starts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runbook_lib.errors import Fault, InputError, ParameterError, RunbookError
from runbook_lib.execute.run.preparation import Request
from runbook_lib.model.inventory import Inventory


@dataclass(frozen=True)
class BatchCluster:
    """One parameter file.

    ``name`` is unique in the batch; ``request`` is the file's content; ``testbed`` is its testbed, if any; ``error``
    says why it cannot be used; ``addresses`` are its nodes' known addresses; ``secret_variables`` are the environment
    variables with its secrets.
    """

    name: str
    file: Path
    request: Request
    testbed: str | None = None
    error: RunbookError | None = None
    addresses: frozenset[str] = frozenset()
    secret_variables: tuple[str, ...] = ()


def read_clusters(files: Sequence[Path], overrides: Mapping[str, Any]) -> list[BatchCluster]:
    """Validate every parameter file. An invalid one is a cluster with an error; a testbed need not be up yet.

    A second file for the same cluster is such an error: a cluster can have only one run at a time.

    Raises:
        ParameterError: all files are invalid; it has all their faults.
    """
    clusters: list[BatchCluster] = []
    for file in files:
        cluster = _read(file, overrides)
        same = next((earlier for earlier in clusters if _is_same(earlier, cluster)), None)
        clusters.append(cluster if same is None else replace(cluster, error=_led_there_before(cluster, same)))
    errors = [cluster.error for cluster in clusters if cluster.error is not None]
    if len(errors) == len(clusters):
        raise ParameterError([fault for error in errors for fault in _faults(error)], place="batch")
    return _with_unique_names(clusters)


def _read(file: Path, overrides: Mapping[str, Any]) -> BatchCluster:
    request = Request(file, overrides)
    try:
        parameters = request.parameters()
        if parameters.testbed_name is not None:
            testbed = parameters.testbed_name
            where = frozenset([f"testbed {testbed}"])
            return BatchCluster(parameters.name, file, request, testbed, None, where, parameters.secret_variables)
        inventory = request.validate().inventory
    except InputError as error:
        return BatchCluster(file.stem or str(file), file, request, error=error)
    where = _addresses(inventory)
    return BatchCluster(parameters.name, file, request, addresses=where, secret_variables=parameters.secret_variables)


def _addresses(inventory: Inventory) -> frozenset[str]:
    return frozenset(f"{node.ssh.host}:{node.ssh.port}" for node in inventory.nodes)


def _is_same(earlier: BatchCluster, later: BatchCluster) -> bool:
    if earlier.error is not None or later.error is not None:
        return False
    return bool(earlier.addresses & later.addresses)


def _led_there_before(cluster: BatchCluster, earlier: BatchCluster) -> InputError:
    where = ", ".join(sorted(cluster.addresses & earlier.addresses))
    same = os.path.realpath(cluster.file) == os.path.realpath(earlier.file)
    what = "this file is named twice" if same else f"this is the same cluster as {earlier.file} ({where})"
    return InputError(
        f"{what}, and a cluster has one run at a time",
        place=str(cluster.file),
        remedy="name each cluster once, or run this one when the batch has ended",
    )


def _faults(error: RunbookError) -> list[Fault]:
    if isinstance(error, ParameterError):
        return list(error.faults)
    remedy = f" ({error.remedy})" if error.remedy else ""
    return [Fault(error.place, f"{error.message}{remedy}")]


def _with_unique_names(clusters: Sequence[BatchCluster]) -> list[BatchCluster]:
    """Unique names: those in the files; equal ones get the file's name too, and its position if necessary."""
    named = list(clusters)
    for with_place in (False, True):
        counts = Counter(cluster.name for cluster in named)
        for place, cluster in enumerate(named):
            if counts[cluster.name] > 1:
                more = f"({cluster.file.stem})" if not with_place else str(place + 1)
                named[place] = replace(cluster, name=f"{cluster.name} {more}")
    return named
