"""``runbook run --undo`` before anything is touched: what it can take back, and what it is told."""

from __future__ import annotations

import pytest

from runbook_lib import cli


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name them: ./runbook run 01 --undo"),
        (["05"], "05_ping_tests changes nothing on the hosts themselves"),
        (["01", "03"], "containers and networks are removed by 09_clean_up"),
    ],
)
def test_only_what_01_and_02_changed_is_taken_back_and_only_when_named(
    capsys: pytest.CaptureFixture[str], tmp_path, arguments: list[str], says: str
) -> None:
    (tmp_path / "known_hosts").write_text("")
    nowhere = tmp_path / "nodes.yaml"
    nowhere.write_text(
        "version: 1\nnetwork: {subnet: 192.0.2.0/24}\nnodes:\n  - name: node1\n    cluster_address: 192.0.2.1\n"
        "    ssh: {host: 192.0.2.1, agent: true, known_hosts: known_hosts}\n"
    )
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text(f"inventory: {nowhere}\ncontainers: []\n")
    assert cli.main(["run", *arguments, "--undo", "-f", str(parameters)]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert "Traceback" not in told
