"""When an environment is made, and that uv goes where pip would go."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from runbook_lib.bootstrap import (
    STAMP,
    EnvironmentFailure,
    expected_stamp,
    pip_settings,
    reason_to_make,
    usable_uv,
    uv_settings,
)

ALWAYS = {
    "UV_SYSTEM_CERTS": "1",
    "UV_NATIVE_TLS": "1",
    "UV_INDEX_STRATEGY": "unsafe-best-match",
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_NO_PROGRESS": "1",
    "UV_NO_CONFIG": "1",
}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The variables of a user who has nothing of pip set up, nor has the machine."""
    return {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "xdg")}


def configure(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pip.conf").write_text(text)
    return folder / "pip.conf"


def without_the_machines(found: dict[str, str]) -> dict[str, str]:
    """Leave out what /etc/pip.conf of this machine says: no variable hides it."""
    return {name: value for name, value in found.items() if name not in pip_settings({"HOME": "/none"})}


def test_without_any_configuration_uv_trusts_the_systems_certificates_and_nothing_else() -> None:
    assert uv_settings({}, {}) == ALWAYS


def test_files_are_read_in_pips_order_and_variables_come_last(tmp_path: Path, home: dict[str, str]) -> None:
    configure(tmp_path / "xdg/pip", "[global]\nretries = 1\nproxy = a:1\nno-index = no\nindex-url = one")
    configure(tmp_path / "home/.pip", "[global]\nproxy = b:1\nno-index = no\nindex-url = two")
    configure(tmp_path / "home/.config/pip", "[global]\nno_index = yes\nindex-url = three\n[install]\nindex-url = four")
    found = without_the_machines(pip_settings({**home, "PIP_EXTRA_INDEX_URL": "five", "PIP_NO_COLOR": ""}))
    assert found == {"retries": "1", "proxy": "b:1", "no-index": "yes", "index-url": "four", "extra-index-url": "five"}
    assert pip_settings({**home, "PIP_INDEX_URL": "five"})["index-url"] == "five"


def test_a_file_of_ones_own_comes_after_the_others_and_the_null_device_hides_them(
    tmp_path: Path, home: dict[str, str]
) -> None:
    configure(tmp_path / "home/.config/pip", "[global]\nindex-url = one\nproxy = a:1")
    own = configure(tmp_path / "own", "[global]\nindex-url = two")
    found = pip_settings({**home, "PIP_CONFIG_FILE": str(own)})
    assert (found["index-url"], found["proxy"]) == ("two", "a:1")
    assert pip_settings({**home, "PIP_CONFIG_FILE": os.devnull}) == {}


def test_a_file_that_pip_could_not_read_either_is_named(tmp_path: Path, home: dict[str, str]) -> None:
    own = tmp_path / "twice.conf"
    own.write_text("[global]\nextra-index-url = one\nextra-index-url = two\n")
    with pytest.raises(EnvironmentFailure, match=r"pip's configuration cannot be read: .*twice\.conf"):
        pip_settings({**home, "PIP_CONFIG_FILE": str(own)})


def test_no_home_folder_is_needed() -> None:
    assert pip_settings({"PIP_INDEX_URL": "five"})["index-url"] == "five"


def test_every_setting_of_pip_that_says_where_packages_are_reaches_uv(tmp_path: Path) -> None:
    pip = {
        "index-url": "https://user:secret@mirror.example/simple",
        "extra-index-url": "https://one.example/simple\nhttps://two.example/simple",
        "find-links": "/opt/wheels /srv/wheels",
        "trusted-host": "mirror.example one.example",
        "cert": "/etc/company.pem",
        "client-cert": "/etc/client.pem",
        "proxy": "proxy.example:3128",
        "timeout": "180",
        "keyring-provider": "subprocess",
    }
    assert uv_settings(pip, {}) == ALWAYS | {
        "UV_DEFAULT_INDEX": "https://user:secret@mirror.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": "/opt/wheels,/srv/wheels",
        "UV_INSECURE_HOST": "mirror.example one.example",
        "SSL_CERT_FILE": "/etc/company.pem",
        "SSL_CLIENT_CERT": "/etc/client.pem",
        "HTTP_PROXY": "http://proxy.example:3128",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "UV_HTTP_TIMEOUT": "180",
        "UV_KEYRING_PROVIDER": "subprocess",
    }
    assert uv_settings({"cert": str(tmp_path)}, {})["SSL_CERT_DIR"] == str(tmp_path)


def test_the_certificates_that_pip_takes_from_a_variable_reach_uv() -> None:
    assert uv_settings({}, {"REQUESTS_CA_BUNDLE": "/etc/company.pem"})["SSL_CERT_FILE"] == "/etc/company.pem"
    assert uv_settings({}, {"CURL_CA_BUNDLE": "/etc/company.pem"})["SSL_CERT_FILE"] == "/etc/company.pem"


def test_what_the_user_has_set_for_uv_stays() -> None:
    own = {"UV_DEFAULT_INDEX": "https://own.example/simple", "SSL_CERT_FILE": "/etc/own.pem", "UV_SYSTEM_CERTS": "0"}
    settings = uv_settings({"index-url": "https://mirror.example/simple", "cert": "/etc/company.pem"}, own)
    assert not set(settings) & set(own)


@pytest.mark.parametrize(("answer", "usable"), [("uv 0.5.0", True), ("uv 1.0.0 (abc)", True), ("uvx", False)])
def test_a_uv_is_used_when_it_says_a_recent_version(tmp_path: Path, answer: str, usable: bool) -> None:
    program = tmp_path / "uv"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    assert usable_uv(str(program)) == (str(program) if usable else None)


def test_a_uv_that_is_half_installed_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "uv").write_bytes(b"\x7fELF")
    (tmp_path / "uv").chmod(0o755)
    assert usable_uv(str(tmp_path / "uv")) is None
    assert usable_uv(str(tmp_path / "none")) is None
    assert usable_uv(None) is None


@dataclass(frozen=True)
class Place:
    """A project and its environment."""

    project: Path

    @property
    def environment(self) -> Path:
        return self.project / ".venv"


@pytest.fixture
def good(tmp_path: Path) -> Place:
    """A project with what it takes for a good environment."""
    place = Place(tmp_path / "a project with spaces")
    (place.environment / "bin").mkdir(parents=True)
    (place.project / "requirements.lock").write_text("# nothing\n")
    (place.environment / "bin/python").symlink_to(sys.executable)
    (place.environment / STAMP).write_text(expected_stamp(place.project, place.environment))
    return place


def reason(place: Place) -> str:
    return reason_to_make(place.project, place.environment)


def test_a_good_environment_gives_no_reason_to_make_another(good: Place) -> None:
    assert reason(good) == ""


def test_a_missing_interpreter_is_a_reason(good: Place) -> None:
    (good.environment / "bin/python").unlink()
    assert reason(good) == "the one that is there has no interpreter"


def test_a_changed_lock_file_is_a_reason(good: Place) -> None:
    (good.project / "requirements.lock").write_text("# other\n")
    assert reason(good) == "requirements.lock has changed"


def test_a_moved_project_is_a_reason(good: Place) -> None:
    good.project.rename(good.project.with_name("elsewhere"))
    elsewhere = good.project.with_name("elsewhere")
    assert reason_to_make(elsewhere, elsewhere / ".venv") == "the project has been moved"


def test_another_python_of_the_system_is_a_reason(good: Place) -> None:
    (good.environment / "bin/python").unlink()
    (good.environment / "bin/python").symlink_to("/bin/sh")
    assert reason(good) == "the system's Python has changed"
