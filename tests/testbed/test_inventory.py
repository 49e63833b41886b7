"""A docker-machine store made of the testbed's nodes: imported, checked, worked with; and what is wrong is named."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from runbook_lib.cluster import Cluster
from runbook_lib.errors import ExitCode
from runbook_lib.model.loading import Run
from runbook_lib.testbed import Testbed
from tests.unit.model.imports.conftest import Store

pytestmark = pytest.mark.testbed
SHARED_TESTBED = True

# A user whom SSH lets in by the same key, and who may neither become root nor talk to the engine.
GUEST = """\
id guest || useradd -m -p '*' guest
install -d -o guest -m 0700 /home/guest/.ssh
install -o guest -m 0600 /home/docker/.ssh/authorized_keys /home/guest/.ssh/
"""


def runbook(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runbook_lib", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def text(testbed: Testbed, run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The parameter file of a store as docker-machine's generic driver would have it of the testbed's nodes.

    The nodes' host keys are trusted.
    """
    store, layout = Store(tmp_path_factory.mktemp("machines")), testbed.layout
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (store.folder / "certs" / name).write_text((layout.certificates / name).read_text())
    with Cluster(run.inventory) as cluster:
        where = cluster.node("node1").engine.info()["ClusterStore"]
    for node in layout.nodes:
        flags = [f"cluster-store={where}", "cluster-advertise=eth1:2376"]
        store.add(node.name, "generic", flags=flags, IPAddress=node.cluster_address, SSHUser="docker")
        store.write(f"machines/{node.name}/id_rsa", layout.key_file.read_text(), mode=0o600)
    hosts, file = store.folder / "known_hosts", store.folder / "mine.yaml"
    done = runbook("inventory", "import-docker-machine", "--store", str(store.folder), "--known-hosts", str(hosts))
    assert done.returncode == ExitCode.PASS, done.stderr
    file.write_text(done.stdout)
    trusted = runbook("inventory", "trust", "-f", str(file), "--yes")
    assert trusted.returncode == ExitCode.PASS, trusted.stderr
    return done.stdout


@pytest.fixture
def imported(text: str, tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def guest(cluster: Cluster) -> Iterator[None]:
    """There is a guest on node2."""
    node = cluster.node("node2").ssh
    node.script(GUEST, sudo=True)
    yield
    node.run(["userdel", "--force", "--remove", "guest"], sudo=True, check=False)


def checks(file: Path) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    """The exit code of ``inventory check``, and its rows by node and check."""
    done = runbook("inventory", "check", "-f", str(file), "--json")
    assert done.stdout, done.stderr
    return done.returncode, {(row["node"], row["check"]): row for row in json.loads(done.stdout)["checks"]}


def test_a_store_becomes_a_file_that_is_all_green_and_with_which_a_notebook_passes(
    imported: Path, tmp_path: Path
) -> None:
    code, rows = checks(imported)
    assert [row for row in rows.values() if row["verdict"] != "pass"] == []
    assert len(rows) == 4 * 7
    assert code == ExitCode.PASS
    done = runbook("run", "00_meet_the_cluster", "-f", str(imported), "--records", str(tmp_path / "records"))
    assert done.returncode == ExitCode.PASS, done.stdout + done.stderr


def test_each_thing_that_is_wrong_is_named_with_its_remedy_and_hides_no_other(
    imported: Path, testbed: Testbed, guest: None, tmp_path: Path
) -> None:
    data = yaml.safe_load(imported.read_text())
    node1, node2, node3, node4 = data["inventory"]["nodes"]
    node1["platform"] = "netplan"
    node2["ssh"]["user"], node2["docker"] = "guest", {"via": "ssh"}
    node3["docker"]["cert"], node3["docker"]["key"] = expired_certificate(testbed, tmp_path)
    node4["ssh"]["known_hosts"] = str(tmp_path / "nobody")
    (tmp_path / "nobody").touch()
    data["etcd"]["autostart"] = "auto"
    imported.write_text(yaml.safe_dump(data))

    code, rows = checks(imported)
    red = {place: row for place, row in rows.items() if row["verdict"] == "fail"}
    assert set(red) == {
        ("node1", "platform"),
        ("node2", "sudo"),
        ("node2", "engine"),
        ("node3", "engine"),
        ("node4", "SSH"),
    }
    assert code == ExitCode.CHECK_FAILED
    assert red["node1", "platform"]["remedy"] == "set platform: boot2docker, or auto"
    assert red["node2", "sudo"]["found"] == "sudo asks guest for a password, but the inventory has none"
    assert "sudo_password" in red["node2", "sudo"]["remedy"]
    assert "guest is in the group docker" in red["node2", "engine"]["remedy"]
    assert red["node3", "engine"]["found"] == f"the client certificate {tmp_path}/old.pem expired on 2020-01-31"
    assert "regenerate-certs --client-certs" in red["node3", "engine"]["remedy"]
    assert f"./runbook inventory trust -f {imported} shows its fingerprint" in red["node4", "SSH"]["remedy"]
    assert rows["node4", "sudo"]["found"] == "not checked: no SSH"
    assert rows["node2", "platform"]["found"] == "not checked: no sudo"
    assert rows["node3", "sudo"]["verdict"] == rows["node4", "engine"]["verdict"] == "pass"  # TLS needs no SSH


def expired_certificate(testbed: Testbed, folder: Path) -> tuple[str, str]:
    """The paths of a client certificate of the testbed's own authority that ended long ago, and of its key."""
    layout = testbed.layout
    authority = x509.load_pem_x509_certificate((layout.certificates / "ca.pem").read_bytes())
    private = serialization.load_pem_private_key((layout.folder / "private" / "ca-key.pem").read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(authority.subject)
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2020, 1, 31, tzinfo=datetime.UTC))
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "old.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "old-key.pem").touch(mode=0o600)
    (folder / "old-key.pem").write_bytes(key.private_bytes(pem, form, bare))
    return str(folder / "old.pem"), str(folder / "old-key.pem")
