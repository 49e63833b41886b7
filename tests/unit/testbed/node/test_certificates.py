from __future__ import annotations

import ipaddress
import stat
from pathlib import Path

import paramiko
from cryptography import x509

from runbook_lib.testbed.node.certificates import Authority, ssh_key_pair


def test_a_server_certificate_names_its_addresses_and_is_signed_by_the_authority() -> None:
    authority = Authority.create("tests")
    certificate = x509.load_pem_x509_certificate(
        authority.issue("node1", addresses=("10.0.0.1", "127.0.0.1"))[0].encode()
    )
    certificate.verify_directly_issued_by(authority.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("10.0.0.1"),
        ipaddress.ip_address("127.0.0.1"),
    ]
    assert names.get_values_for_type(x509.DNSName) == ["node1"]


def test_a_client_certificate_cannot_serve() -> None:
    authority = Authority.create("tests")
    certificate = x509.load_pem_x509_certificate(authority.issue("client")[0].encode())
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [item.dotted_string for item in usage] == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string]


def test_an_authority_is_the_same_after_saving_and_its_key_is_private(tmp_path: Path) -> None:
    authority = Authority.create("tests")
    authority.save(tmp_path / "ca.pem", tmp_path / "ca-key.pem")
    loaded = Authority.load(tmp_path / "ca.pem", tmp_path / "ca-key.pem")
    assert loaded.certificate == authority.certificate
    assert stat.S_IMODE((tmp_path / "ca-key.pem").stat().st_mode) == 0o600


def test_an_ssh_key_is_one_that_ssh_reads(tmp_path: Path) -> None:
    private, public = ssh_key_pair("tests")
    (tmp_path / "key").write_text(private)
    key = paramiko.Ed25519Key.from_private_key_file(str(tmp_path / "key"))
    assert public == f"ssh-ed25519 {key.get_base64()} tests\n"
