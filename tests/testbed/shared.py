"""One testbed for several modules of tests, and the comparison that finds what one of them has left behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from runbook_lib.cluster import Cluster, Node
from runbook_lib.facts.docker.containers import read_containers
from runbook_lib.facts.docker.networks import read_networks
from runbook_lib.facts.host.addresses import read_bootlocal, read_bootsync
from runbook_lib.model.loading import Run, load_run
from runbook_lib.testbed import Testbed
from tests.waiting import PATIENCE_SECONDS

# Docker makes it for the first container on an overlay, and leaves it there.
_OF_DOCKER = {"docker_gwbridge"}
# Accounts, their files, and the processes that listen for logins: what tests of logging in make.
_LOGINS = "cut -d: -f1 /etc/passwd | sort; ls /home /home/docker; pgrep -c -f '^sshd: .*[[]listener[]]' || :"

State = Mapping[str, Mapping[str, object]]


def run_on(testbed: Testbed) -> Run:
    """The parameters of a run on a testbed: the defaults, with addresses in the DHCP pool as the article has them."""
    return load_run({"inventory": f"testbed:{testbed.name}", "addresses": {"allow_in_dhcp_pool": True}})


class SharedTestbed:
    """A testbed whose store runs: made when it is first used, and again after a module that has left it changed.

    Args:
        name: the testbed's.
        start_store: starts the members of its store, and waits until all engines are connected to it.
    """

    def __init__(self, name: str, start_store: Callable[[Cluster, Run], None]) -> None:
        self._name = name
        self._start_store = start_store
        self._bed: Testbed | None = None
        self._found: State = {}

    @contextmanager
    def used_by(self, module: str) -> Iterator[Testbed]:
        """Lend the testbed to a module of tests; it must be as it was when the module has ended."""
        bed = self._bed or self._up()
        yield bed
        self._bed = None
        left = self._left(bed)
        if left:
            bed.down()
            raise AssertionError(f"{module} did not leave the nodes as it found them: {'; '.join(left)}")
        self._bed = bed

    def down(self) -> None:
        """Remove the testbed, if there is one."""
        Testbed.remove(self._name)

    def _up(self) -> Testbed:
        Testbed.remove(self._name)
        bed = Testbed.up(self._name, subnet="auto")
        with Cluster(run_on(bed).inventory) as cluster:
            self._start_store(cluster, run_on(bed))
        self._found = state(bed)
        return bed

    def _left(self, bed: Testbed) -> list[str]:
        """The differences to how the testbed was found; a network that was removed may be seen for a while."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while left := differences(self._found, state(bed)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        return left


def state(testbed: Testbed) -> State:
    """What tests may change on the nodes, by node and kind; of a node that does not answer, why."""
    with Cluster(run_on(testbed).inventory) as cluster:
        outcomes = cluster.each(_state_of)
    return {
        outcome.node: outcome.result if outcome.error is None else {"answer": str(outcome.error)}
        for outcome in outcomes
    }


def _state_of(node: Node) -> Mapping[str, object]:
    address = node.spec.cluster_address
    held = node.ssh.run(["ip", "-o", "addr", "show", "to", f"{address}/32"]).stdout
    containers = sorted((item.name, item.running, item.restart_policy, item.networks) for item in read_containers(node))
    return {
        "answer": "",
        "address in the cluster": bool(held),
        "containers": containers,
        "networks": sorted({item.name for item in read_networks(node)} - _OF_DOCKER),
        "boot files": (read_bootsync(node), read_bootlocal(node)),
        "logins": node.ssh.script(_LOGINS, check=False).stdout,
    }


def differences(before: State, after: State) -> list[str]:
    """One sentence for each kind of thing that is not as it was."""
    return [
        f"{node}, {kind}: {found.get(kind)!r}, and now {value!r}"
        for node, found in before.items()
        for kind, value in after.get(node, {"answer": "is gone"}).items()
        if found.get(kind) != value
    ]
