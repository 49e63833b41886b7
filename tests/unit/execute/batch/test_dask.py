"""Schedulers that cannot be used are told in one sentence, before anything begins."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from runbook_lib.errors import InputError


def test_a_scheduler_that_does_not_answer_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    from runbook_lib.execute.batch import dask

    monkeypatch.setattr(dask, "_CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(InputError, match="no Dask scheduler answers at this address") as caught:
        dask.DaskWorkers(f"tcp://127.0.0.1:{port}")
    assert caught.value.exit_code == 2
    assert "dask scheduler" in caught.value.remedy


def test_an_address_that_is_none_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    from runbook_lib.execute.batch import dask

    monkeypatch.setattr(dask, "_CONNECT_SECONDS", 0.2)
    with pytest.raises(InputError, match="no Dask scheduler answers at this address"):
        dask.DaskWorkers("nonsense://x")


def test_without_the_extra_the_remedy_names_it() -> None:
    script = (
        "import sys; sys.modules['distributed'] = None\n"
        "from runbook_lib.errors import InputError\n"
        "try:\n    import runbook_lib.execute.batch.dask\n"
        "except InputError as error:\n    print(error)"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told == (
        "--scheduler: a Dask scheduler needs the package distributed, which is not installed\n"
        "  remedy: in the checkout: pip install '.[dask]' (the environment that ./runbook makes has it)\n"
    )
