"""A run that handles every kind of secret in every way that is wrong: none of them is anywhere in what it leaves."""

from __future__ import annotations

import base64
import html
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest
import yaml

from runbook_lib.errors import ExitCode
from runbook_lib.model.locations import RECORDS_VARIABLE
from runbook_lib.model.record import Record
from runbook_lib.records.store.reading import read_record
from runbook_lib.testbed import Testbed

pytestmark = pytest.mark.testbed

ROOT = Path(__file__).parents[2]
NAME = f"secrets-{os.getpid()}"

PASSWORD = 'Tr0ub4dor &3 <"quoted"> it\'s 100% \\back/slash é'
API_TOKEN = "tok_51Hh2fQy8GkXcVnB7mZpLs94RtWaE3dJ"
PASSPHRASE = "correct horse battery staple 4711"
JOIN_TOKEN = "SWMTKN-1-49nj1cmql0jkz5s954yi3oex3nedyz0fb0xx14ie39trti4wxv-8vxv8rssmk743ojnwacrr2e7c"

LEAKS = [
    # Every secret in every way that a cell can show something.
    "import base64, html, json, os, sys\n"
    "import pandas as pd\n"
    "from IPython.display import HTML, display\n"
    'password, token = run.secret("password"), run.secret("token")\n'
    'passphrase = os.environ["LAB_PASSPHRASE"]\n'
    "node = run.cluster.nodes[0]",
    "print(password, token, passphrase)\nprint(password, token, file=sys.stderr)",
    'print(json.dumps({"password": password}), repr([password]), html.escape(password))',
    'print(base64.b64encode(f"admin:{password}".encode()).decode(), base64.b64encode(token.encode()).decode())',
    'display(HTML(f"<b title=\\"{html.escape(password)}\\">{html.escape(token)}</b>"))',
    'pd.DataFrame({"node": ["node1", "node2"], "login": [password, token], token: [1, 2]})',
    # In pieces: each flush is a message of its own, or may be.
    "for letter in token:\n    print(letter, end='', flush=True)",
    f'print("docker swarm join --token {JOIN_TOKEN[:30]}", end="", flush=True)\nprint("{JOIN_TOKEN[30:]}")',
    # Keys: the inventory's own, whole and in lines; and one that only the node knows.
    "key = open(node.spec.docker.key).read()\nprint(key)\nkey",
    "print(*reversed(key.splitlines()), sep=' | ')\nprint(open(node.spec.ssh.key_file).read())",
    'server_key = node.ssh.run(["sh", "-c", "cat /var/lib/boot2docker/server-key.pem"], '
    "sudo=True, check=False).stdout\nassert 'PRIVATE KEY' in server_key\nprint(server_key)",
    # On the node: in a command's words, in a script, in a file, in a call of the engine.
    'node.ssh.run(["echo", "-p", password])\nnode.ssh.script(f"# {token}\\necho $1", token)\n'
    'node.ssh.write_file("/tmp/token", token.encode())',
    'node.engine.create_container("secret", "alpine", environment={"PASSWORD": password}, labels={"token": token})\n'
    'node.engine.remove_container("secret")',
    'run.expect(f"the password is {token}", found=password, expected=password)\nprint(f"{password=}")',
]
# How a notebook ends: its last cell, the exit code, and what the terminal says instead of the secret.
FAILURES = {
    "exception": (
        'raise RuntimeError(f"login with {password} and {token} failed: {key}")',
        ExitCode.ERROR,
        "login with [REDACTED:password] and [REDACTED:token] failed",
    ),
    "command": (
        'node.ssh.run(["sh", "-c", f"echo {token}; echo $0 >&2; exit 3", password])',
        ExitCode.ERROR,
        "echo [REDACTED:token]; echo $0 >&2; exit 3",
    ),
    "check": (
        'run.expect(f"{token} is right", found=password, expected=passphrase)',
        ExitCode.CHECK_FAILED,
        "[REDACTED:token] is right",
    ),
    "dead": (
        'print(password, flush=True)\nprint(token, end="", flush=True)\nimport time\ntime.sleep(0.5)\nos._exit(9)',
        ExitCode.KERNEL_DIED,
        "the kernel died",
    ),
}


@dataclass(frozen=True)
class Lab:
    """A parameter file with secrets, what they are, and where records go."""

    folder: Path
    parameters: Path
    secrets: dict[str, str]
    environment: dict[str, str]

    def run(self, notebook: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        path = self.folder / f"{notebook}.ipynb"
        argv = [sys.executable, "-m", "runbook_lib", "run", str(path), "-f", str(self.parameters), *arguments]
        return subprocess.run(argv, cwd=ROOT, capture_output=True, env=self.environment, timeout=300)

    def record(self, notebook: str) -> Record:
        (folder,) = self.records.glob(f"*_{notebook}_*")
        return read_record(folder)

    @property
    def records(self) -> Path:
        return self.folder / "records"


def encrypted_copy(key: Path, folder: Path) -> Path:
    copy = folder / "id_encrypted"
    shutil.copy(key, copy)
    copy.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", str(copy)], check=True)
    return copy


def write_notebook(path: Path, *cells: str) -> None:
    template = nbformat.read(ROOT / "notebooks" / "00_meet_the_cluster.ipynb", as_version=4)
    parameters = template.cells[1]
    first = f'from runbook_lib.session import start\n\nrun = start("{path.stem}", globals())'
    cleaner = nbformat.v4.new_code_cell('print("always", password)\nrun.finish()', metadata={"tags": ["always"]})
    code = [nbformat.v4.new_code_cell(source) for source in (first, *cells)]
    notebook = nbformat.v4.new_notebook(cells=[parameters, *code, cleaner], metadata=template.metadata)
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A testbed whose SSH key has a passphrase, and one notebook for each way to end."""
    folder = tmp_path_factory.mktemp("secrets")
    Testbed.remove(NAME)
    bed = Testbed.up(NAME, subnet="auto")
    inventory = yaml.safe_load(bed.inventory_file.read_text())
    nodes = inventory["nodes"][:2]
    ssh_key = encrypted_copy(Path(nodes[0]["ssh"]["key_file"]), folder)
    for node in nodes:
        node["ssh"] |= {"key_file": str(ssh_key), "passphrase": {"env": "LAB_PASSPHRASE"}}
    (folder / "inventory.yaml").write_text(yaml.safe_dump(inventory | {"nodes": nodes}))
    (folder / "token").write_text(f"{API_TOKEN}\n")
    (folder / "token").chmod(0o600)
    values = {
        "name": "lab",
        "inventory": "inventory.yaml",
        "addresses": {"allow_in_dhcp_pool": True},
        "containers": [],
        "etcd": {"members": ["etcd1"]},
        "secrets": {"password": {"env": "LAB_PASSWORD"}, "token": {"file": "token"}},
    }
    (folder / "lab.yaml").write_text(yaml.safe_dump(values))
    write_notebook(folder / "passing.ipynb", *LEAKS)
    for name, (cell, _, _) in FAILURES.items():
        write_notebook(folder / f"{name}.ipynb", LEAKS[0], LEAKS[8], cell)
    given = {"LAB_PASSWORD": PASSWORD, "LAB_PASSPHRASE": PASSPHRASE, RECORDS_VARIABLE: str(folder / "records")}
    tls_key = Path(nodes[0]["docker"]["key"]).read_text()
    secrets = {
        "password": PASSWORD,
        "token": API_TOKEN,
        "passphrase": PASSPHRASE,
        "join token": JOIN_TOKEN[9:],
        "ssh key": ssh_key.read_text(),
        "tls key": tls_key,
        **{f"line {at} of the tls key": line for at, line in enumerate(tls_key.splitlines()) if "-" not in line},
        **{f"line {at} of the ssh key": line for at, line in enumerate(ssh_key.read_text().splitlines()[1:-1])},
    }
    yield Lab(folder, folder / "lab.yaml", secrets, os.environ | given)
    bed.down()


def forms(value: str) -> set[bytes]:
    """What a secret may look like, written down here once more: not by the code that is tested."""
    texts = {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(value)[1:-1])[1:-1],
        repr(value)[1:-1],
        json.dumps(repr(value)[1:-1])[1:-1],
        html.escape(value),
        html.escape(value, quote=False),
        html.escape(repr(value)[1:-1]),
        json.dumps(html.escape(value))[1:-1],
        quote(value),
        value.replace('"', '""'),
        base64.b64encode(value.encode()).decode(),
        # In the middle of other data the first and the last characters of base64 are not the secret's own.
        *(base64.b64encode(bytes(shift) + value.encode()).decode()[4:-8] for shift in range(3)),
    }
    return {text.encode() for text in texts if len(text) >= 12}


def leaks(lab: Lab, *outputs: bytes) -> list[str]:
    """Where a secret stands, in any form: in a file of the archive, in a file's name, or in what a command printed."""
    places = {f"output {at}": output for at, output in enumerate(outputs)}
    files = [path for path in lab.records.rglob("*") if path.is_file()]
    places |= {str(path.relative_to(lab.records)): path.read_bytes() for path in files}
    places["the names of files"] = "\n".join(places).encode()
    wanted = {name: forms(value) for name, value in lab.secrets.items()}
    return [
        f"{name} in {place}: {form!r}"
        for place, content in places.items()
        for name, its_forms in wanted.items()
        for form in its_forms
        if form in content
    ]


def test_nothing_of_a_secret_is_in_the_record_or_on_the_terminal_of_a_run_that_passes(lab: Lab) -> None:
    done = lab.run("passing", "--log-output")
    terminal = done.stdout + done.stderr
    assert done.returncode == 0, terminal.decode()
    assert leaks(lab, terminal) == []
    (folder,) = lab.records.glob("*_passing_*")
    everything = "\n".join(
        path.read_text() for path in folder.rglob("*") if path.suffix != ".sqlite" and path.is_file()
    )
    for name in ("password", "token", "ssh-passphrase", "swarm-join-token", "tls-key", "private-key"):
        assert f"[REDACTED:{name}]" in everything, name
    for name in ("notebook.ipynb", "notebook.html", "log.jsonl"):
        assert "[REDACTED:password]" in (folder / name).read_text(), name
    assert b"the password is [REDACTED:token]" in terminal
    record = lab.record("passing")
    assert record.parameters["secrets"] == {
        "password": {"env": "LAB_PASSWORD", "file": None},
        "token": {"env": None, "file": str(lab.folder / "token")},
    }
    assert {
        (node.engine.split(".")[0], bool(node.engine_id), bool(node.address)) for node in record.provenance.nodes
    } == {("20", True, True)}


@pytest.mark.parametrize("ending", FAILURES)
def test_nothing_of_a_secret_is_left_by_a_run_that_fails(lab: Lab, ending: str) -> None:
    done = lab.run(ending, "--log-output")
    _, code, said = FAILURES[ending]
    terminal = done.stdout + done.stderr
    assert done.returncode == code, terminal.decode()
    assert leaks(lab, terminal) == []
    assert said in terminal.decode()
    assert lab.record(ending).failure is not None


def test_plain_papermill_with_this_engine_leaks_nothing_either(lab: Lab) -> None:
    output = lab.folder / "records" / "plain.ipynb"
    argv = [sys.executable, "-m", "papermill", "--engine", "runbook", "--log-output"]
    argv += ["-f", str(lab.parameters), str(lab.folder / "exception.ipynb"), str(output)]
    done = subprocess.run(argv, cwd=lab.folder, capture_output=True, env=lab.environment, timeout=300)
    assert done.returncode != 0
    assert leaks(lab, done.stdout + done.stderr) == []
    assert "[REDACTED:password]" in output.read_text()


def test_a_secret_given_as_a_value_is_refused_before_anything_is_written(lab: Lab) -> None:
    before = sorted(lab.records.rglob("*"))
    done = lab.run("passing", "-p", "secrets.password", PASSWORD)
    assert done.returncode == 2
    assert b"the value of a secret never stands here" in done.stderr
    assert leaks(lab, done.stdout + done.stderr) == []
    output = lab.records / "refused.ipynb"
    argv = [sys.executable, "-m", "papermill", "--engine", "runbook", "-f", str(lab.parameters)]
    argv += ["-p", "secrets", json.dumps({"password": API_TOKEN}), str(lab.folder / "passing.ipynb"), str(output)]
    done = subprocess.run(argv, cwd=lab.folder, capture_output=True, env=lab.environment, timeout=300)
    assert done.returncode == 2
    assert b"the value of a secret never stands here" in done.stderr
    assert leaks(lab, done.stdout + done.stderr) == []
    assert sorted(lab.records.rglob("*")) == before
