"""Docker's contexts, in the folders in which docker's command line keeps them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from runbook_lib.errors import InputError
from runbook_lib.model.imports.hosts import default_config, read_context


def add(config: Path, name: str, host: str, *, tls: bool = False) -> Path:
    """A context as ``docker context create`` writes it."""
    identity = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts" / "meta" / identity / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False}
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    folder = config / "contexts" / "tls" / identity / "docker"
    if tls:
        folder.mkdir(parents=True)
        for file in ("ca.pem", "cert.pem", "key.pem"):
            (folder / file).write_text(file)
    return folder


def test_an_endpoint_over_ssh_names_host_user_and_port(tmp_path: Path) -> None:
    add(tmp_path, "lab", "ssh://ubuntu@lab.example:2222")
    found = read_context(tmp_path, "lab")
    assert (found.host, found.user, found.port, found.docker) == ("lab.example", "ubuntu", 2222, {"via": "ssh"})


def test_an_endpoint_over_tls_names_the_files_that_docker_keeps(tmp_path: Path) -> None:
    folder = add(tmp_path, "lab", "tcp://10.0.0.7:2377", tls=True)
    found = read_context(tmp_path, "lab")
    assert (found.host, found.user, found.port) == ("10.0.0.7", None, None)
    assert found.docker == {
        "via": "tls",
        "host": "10.0.0.7",
        "port": 2377,
        **{name: str(folder / f"{name}.pem") for name in ("ca", "cert", "key")},
    }


def test_an_endpoint_without_tls_is_reached_over_ssh_and_the_reader_is_told(tmp_path: Path) -> None:
    add(tmp_path, "lab", "tcp://10.0.0.7:2375")
    found = read_context(tmp_path, "lab")
    assert found.docker == {"via": "ssh"}
    assert "tcp://10.0.0.7:2375 lacks TLS" in found.notes[0]


@pytest.mark.parametrize("host", ["unix:///var/run/docker.sock", "npipe:////./pipe/docker_engine", "", "tcp://"])
def test_an_engine_of_this_computer_is_refused(tmp_path: Path, host: str) -> None:
    add(tmp_path, "here", host)
    with pytest.raises(InputError, match="which is not another host"):
        read_context(tmp_path, "here")


def test_an_endpoint_that_is_no_url_is_refused(tmp_path: Path) -> None:
    add(tmp_path, "lab", "tcp://host:port")
    with pytest.raises(InputError, match="'tcp://host:port'"):
        read_context(tmp_path, "lab")


def test_an_absent_context_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its contexts are none"):
        read_context(tmp_path, "lab")
    add(tmp_path, "b", "ssh://b")
    add(tmp_path, "a", "ssh://a")
    with pytest.raises(InputError, match="its contexts are a, b"):
        read_context(tmp_path, "lab")


def test_a_broken_file_is_refused_with_its_place(tmp_path: Path) -> None:
    add(tmp_path, "lab", "ssh://lab")
    (meta,) = tmp_path.glob("contexts/meta/*/meta.json")
    meta.write_text("{")
    with pytest.raises(InputError, match=r"meta.json: invalid JSON"):
        read_context(tmp_path, "lab")


def test_the_folder_is_docker_s_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    assert default_config() == tmp_path / ".docker"
    monkeypatch.setenv("DOCKER_CONFIG", "/somewhere")
    assert default_config() == Path("/somewhere")
