from __future__ import annotations

from dataclasses import replace

import pytest

from runbook_lib.facts.control_planes.base import Registration
from runbook_lib.facts.control_planes.etcd.access import (
    PLAIN,
    StoreAccess,
    access_trouble,
    parse_access,
    parse_store_options,
    v2_trouble,
)
from runbook_lib.facts.control_planes.etcd.keys import key_urls, parse_registration
from runbook_lib.facts.control_planes.etcd.members import parse_member
from runbook_lib.facts.docker.containers import ContainerFacts, parse_container
from runbook_lib.facts.sections import Section

FILES = {"kv.cacertfile": "/tls/ca.pem", "kv.certfile": "/tls/client.pem", "kv.keyfile": "/tls/client-key.pem"}
SECURE = StoreAccess("/tls/ca.pem", "/tls/client.pem", "/tls/client-key.pem")
NO_FILE = Section("cat: /etc/docker/daemon.json: No such file or directory\n", 1)


@pytest.fixture
def container(captured_json) -> ContainerFacts:
    return replace(parse_container("node1", captured_json("container_etcd1.json")), name="m")


def test_all_three_files_make_the_engine_speak_tls() -> None:
    words = "".join(f"--cluster-store-opt\t{key}={value}\t" for key, value in FILES.items())
    assert parse_access(parse_store_options(f"dockerd\t{words}", NO_FILE)) == SECURE
    settings = Section('{"cluster-store-opts": {"kv.cacertfile": "/tls/ca.pem", "kv.path": "/lab/nodes"}}', 0)
    rest = "--cluster-store-opt=kv.certfile=/tls/client.pem\t--cluster-store-opt=kv.keyfile=/tls/client-key.pem\t"
    assert parse_access(parse_store_options(rest, settings)) == replace(SECURE, path="lab/nodes")


def test_two_of_the_three_files_leave_it_without_tls_and_the_third_is_named() -> None:
    access = parse_access({key: FILES[key] for key in ("kv.cacertfile", "kv.certfile")})
    assert (access.secure, access.scheme, access.missing) == (False, "http", ("kv.keyfile",))
    refused = Section("wget: server returned error: HTTP/1.0 400 Bad Request", 1)
    assert "missing: kv.keyfile" in str(access_trouble(refused, access))


def test_an_engine_without_such_options_speaks_plain_http() -> None:
    assert parse_access({}) == PLAIN
    assert parse_access({"discovery.ttl": "90"}) == PLAIN


def test_the_registration_is_looked_for_where_the_engine_puts_it_and_as_it_asks() -> None:
    access = replace(SECURE, path="lab/nodes")
    assert key_urls("etcd://10.0.0.1:2379", "10.0.0.9:2376", access) == (
        "https://10.0.0.1:2379/v2/keys/lab/nodes/10.0.0.9:2376?quorum=true",
    )


# What curl 7.88 (OpenSSL 3.0) and GNU wget 1.21 (GnuTLS) say to etcd 3.4 and 3.5.
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("curl: (60) SSL certificate problem: certificate has expired\n", "its certificate has expired"),
        ("ERROR: The certificate of ‘10.0.0.1’ has expired.\n", "its certificate has expired"),
        ("curl: (60) SSL certificate problem: certificate is not yet valid\n", "not yet valid"),
        ("The certificate has not yet been activated\n ‘10.0.0.1’ is not yet activated.\n", "not yet valid"),
        (
            "curl: (60) SSL certificate problem: unable to get local issuer certificate\n",
            "not signed by the engine's CA",
        ),
        ("curl: (60) SSL certificate problem: self signed certificate in certificate chain\n", "not signed by"),
        ("ERROR: The certificate of ‘10.0.0.1’ doesn't have a known issuer.\n", "not signed by the engine's CA"),
        ("curl: (60) SSL: no alternative certificate subject name matches target host name '10.0.0.1'", "this address"),
        ("The certificate's owner does not match hostname ‘10.0.0.1’\n", "not valid for this address"),
        ("curl: (35) OpenSSL/3.0.19: error:0A000412:SSL routines::sslv3 alert bad certificate\n", "the member refuses"),
        ("curl: (35) OpenSSL/3.0.19: error:0A000418:SSL routines::tlsv1 alert unknown ca\n", "/tls/client.pem"),
        ("curl: (58) unable to set private key file: '/tls/client-key.pem' type PEM\n", "do not match"),
        ("curl: (58) could not load PEM client certificate from /tls/client.pem, OpenSSL error", "not PEM files"),
        ("curl: (77) error setting certificate file: /tls/ca.pem\n", "does not contain a CA certificate"),
        (
            "curl: (35) OpenSSL SSL_connect: SSL_ERROR_SYSCALL\nthe server answers without TLS\n",
            "uses TLS, but the member does not",
        ),
        ("/tls/client.pem does not exist\n", "the engine's TLS file /tls/client.pem does not exist on this node"),
        ("curl: (22) The requested URL returned error: 401\n", "requires a user and a password"),
    ],
)
def test_each_trouble_of_tls_is_one_sentence_with_a_remedy(text: str, found: str) -> None:
    trouble = access_trouble(Section(text, 60), SECURE)
    assert trouble is not None
    assert found in trouble.found
    assert trouble.remedy
    assert "\n" not in str(trouble)
    assert "{" not in str(trouble)


@pytest.mark.parametrize(
    "text", ["curl: (7) Failed to connect to 10.0.0.1 port 2379", "curl: (22) The requested URL returned error: 503"]
)
def test_what_has_nothing_to_do_with_tls_is_not_blamed_on_it(text: str) -> None:
    assert access_trouble(Section(text, 22), SECURE) is None
    assert access_trouble(Section('{"health":"true"}', 0), SECURE) is None


@pytest.mark.parametrize(
    ("answers", "access", "health", "found"),
    [
        ("etcd_unknown_authority.txt", SECURE, "down", "its certificate is not signed by the engine's CA"),
        (
            "etcd_refuses_client.txt",
            SECURE,
            "down",
            "the member refuses the engine's client certificate /tls/client.pem",
        ),
        ("etcd_over_tls_asked_without.txt", PLAIN, "down", "the member uses TLS, but the engine does not"),
        ("etcd_demands_user.txt", PLAIN, "healthy", "it requires a user and a password (HTTP 401)"),
        ("etcd35_without_v2.txt", PLAIN, "healthy", "its v2 API, which engines need, is disabled"),
    ],
)
def test_a_member_that_engines_cannot_use_says_why_and_what_to_do(
    container, captured_sections, answers: str, access: StoreAccess, health: str, found: str
) -> None:
    member = parse_member(container, "http://10.0.0.1:2379", captured_sections(answers), access)
    assert (member.health, member.detail.startswith(found)) == (health, True)
    assert member.remedy
    assert member.detail.endswith(f": {member.remedy}")


def test_etcd_from_3_6_on_is_said_to_have_lost_the_api_not_to_have_it_off(container, captured_sections) -> None:
    sections = captured_sections("etcd35_without_v2.txt")
    sections["version"] = Section('{"etcdserver":"3.6.1","etcdcluster":"3.6.0"}', 0)
    member = parse_member(container, "http://10.0.0.1:2379", sections)
    assert "etcd 3.6.1 has no v2 API, the only one" in member.detail
    assert "3.5 or older" in member.remedy
    assert v2_trouble("4.0.0").found.startswith("etcd 4.0.0 has no v2 API")
    assert v2_trouble("").found == v2_trouble("3.5.16").found == v2_trouble("3.4.23").found


def test_a_registration_that_is_not_there_is_told_from_a_store_without_the_api(captured_sections) -> None:
    row = Registration("node1", "10.0.0.9:2376", False)
    sections = captured_sections("registration_without_v2.txt")
    sections["root"], sections["version"] = sections["key"], Section('{"etcdserver":"3.5.16"}', 0)
    assert "its v2 API, which engines need, is disabled" in parse_registration(row, sections).detail
    sections["root"] = Section('{"action":"get","node":{"dir":true}}', 0)
    assert parse_registration(row, sections).detail == "the store has no registration of this engine"


def test_a_registration_that_no_certificate_can_reach_says_which(captured_sections) -> None:
    row = Registration("node1", "10.0.0.9:2376", False)
    sections = captured_sections("registration_connected.txt")
    sections["key"] = Section(
        "https://10.0.0.1:2379/v2: curl: (60) SSL certificate problem: certificate has expired", 60
    )
    detail = parse_registration(row, sections, SECURE).detail
    assert "its certificate has expired: issue a new one" in detail
