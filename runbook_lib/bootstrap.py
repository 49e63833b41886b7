"""Makes the project's Python environment; the launcher runs this file by its path.

It runs before any environment exists, so it uses the standard library only and imports nothing of this package::

    python -I runbook_lib/bootstrap.py venv|conda PROJECT_FOLDER ENVIRONMENT_FOLDER [COMMAND WORDS]

The packages are installed by uv, from requirements.lock with its hashes: by the uv on PATH, else by one that is put
into the project (requirements-uv.lock pins it). Where uv cannot be had or fails, pip does the same more slowly.

The stamp file in the environment is written last, so an interrupted creation is never taken for a good one.
What happens is told on stderr, a line a stage, since stdout belongs to the command that follows.
"""

from __future__ import annotations

import configparser
import ensurepip
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STAMP = "overlay-runbook.stamp"
HEARTBEAT_SECONDS = 10.0
LOG_TAIL_LINES = 20
EXIT_ERROR = 3
EXIT_INTERRUPTED = 4
# Resolved at once, since it may be the interpreter of the very environment that is going to be removed.
INTERPRETER = Path(sys.executable).resolve()
#: The oldest uv that knows every setting that this file gives it.
OLDEST_UV = (0, 5, 0)
# Settings that would send packages elsewhere than into the environment, choose others, or leave some out.
HARMFUL_SETTINGS = re.compile(
    r"PIP_(CONSTRAINT|DRY_RUN|IGNORE_INSTALLED|NO_BUILD_ISOLATION|PREFIX|PYTHON|REQUIREMENT|REQUIRE_VIRTUALENV)"
    r"|PIP_(ROOT|TARGET|USER)|PYTHONHOME|PYTHONPATH"
    r"|UV_(BUILD_CONSTRAINT|CONFIG_FILE|CONSTRAINT|EXCLUDE|EXCLUDE_NEWER|NO_BUILD_ISOLATION|NO_EDITABLE|NO_VERIFY_HASHES)"
    r"|UV_(OVERRIDE|PROJECT|PYTHON|REQUIRE_HASHES|SYSTEM_PYTHON|WORKING_DIR)"
)
# pip's setting: the variable that tells uv the same.
UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "client-cert": "SSL_CLIENT_CERT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
}


class EnvironmentFailure(Exception):
    """A stage failed; the message says which and shows the end of its log."""


def say(line: str) -> None:
    """Print one progress line."""
    print(line, file=sys.stderr, flush=True)


def expected_stamp(project: Path, environment: Path) -> str:
    """Return what a good environment's stamp holds; the launcher computes the same in shell.

    An environment cannot be moved, and an upgrade of the interpreter leaves its packages where the new one does not
    look.
    """
    with (project / "requirements.lock").open("rb") as lock:
        checksum = subprocess.run(["cksum"], stdin=lock, capture_output=True, text=True, check=True).stdout.strip()
    return f"{project}\n{checksum}\n{(environment / 'bin/python').resolve()}\n"


def reason_to_make(project: Path, environment: Path) -> str:
    """Return why the environment must be made, in words for its user; empty when it is good."""
    stamp = environment / STAMP
    if not (environment / "bin/python").exists():
        return "there is none yet" if not environment.exists() else "the one that is there has no interpreter"
    if not stamp.exists():
        return "the one that is there was not finished"
    if stamp.read_text() == (expected := expected_stamp(project, environment)):
        return ""
    was, now = stamp.read_text().splitlines(), expected.splitlines()
    if was[:1] != now[:1]:
        return "the project has been moved"
    return "requirements.lock has changed" if was[1:2] != now[1:2] else "the system's Python has changed"


@contextmanager
def sole_maker(lock_file: Path) -> Iterator[int]:
    """Hold the lock for making the environment, waiting for another launcher that has it.

    Yields the lock's file descriptor. Children inherit it, so that the lock outlives a maker that is killed
    until its installer is gone as well.
    """
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("runbook: another runbook is making the environment; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def pip_settings(variables: Mapping[str, str]) -> dict[str, str]:
    """Return pip's settings for an installation: its files', and over them these variables'; or EnvironmentFailure."""
    home = Path(variables.get("HOME") or "/")
    system = [Path(folder) / "pip" for folder in (variables.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")]
    user = Path(variables.get("XDG_CONFIG_HOME") or home / ".config")
    folders = [*system, Path("/etc"), home / ".pip", user / "pip"]
    own_file = variables.get("PIP_CONFIG_FILE", "")
    files = [] if own_file == os.devnull else [*(str(folder / "pip.conf") for folder in folders), own_file]
    parser = configparser.RawConfigParser()
    try:
        parser.read(files)
    except (configparser.Error, UnicodeDecodeError) as error:
        raise EnvironmentFailure(f"pip's configuration cannot be read: {error}") from error
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            found |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    for name, value in variables.items():
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE":
            found[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return {name: value for name, value in found.items() if value}


def uv_settings(pip: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that send uv to where pip would go; one that the user has set already stays as it is.

    Args:
        pip: pip's settings.
        variables: the environment variables.
    """
    settings = {
        # pip trusts the system's certificates, and takes the best version from all indexes.
        "UV_SYSTEM_CERTS": "1",
        "UV_NATIVE_TLS": "1",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "UV_NO_CONFIG": "1",  # a user's uv.toml could send packages elsewhere
    }
    for name, variable in UV_VARIABLES.items():
        if name in pip:
            settings[variable] = ("," if name == "find-links" else " ").join(pip[name].split())
    certificates = pip.get("cert") or variables.get("REQUESTS_CA_BUNDLE") or variables.get("CURL_CA_BUNDLE")
    if certificates:
        settings["SSL_CERT_DIR" if Path(certificates).is_dir() else "SSL_CERT_FILE"] = certificates
    if "proxy" in pip:
        proxy = pip["proxy"] if "://" in pip["proxy"] else f"http://{pip['proxy']}"
        settings |= {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}
    if pip.get("keyring-provider") == "subprocess":
        settings["UV_KEYRING_PROVIDER"] = "subprocess"
    return {name: value for name, value in settings.items() if name not in variables}


def tail(log: Path) -> str:
    """Return the last lines of a log file, indented."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines)


@dataclass(frozen=True)
class Maker:
    """Makes one environment.

    Attributes:
        manager: ``venv``, or ``conda`` for an environment that is there already.
        project: the folder of the project.
        environment: the folder of the environment.
        lock: the descriptor of the lock that says who makes it; every program that is started inherits it.
    """

    manager: str
    project: Path
    environment: Path
    lock: int

    @property
    def log(self) -> Path:
        """The log of the stage under way."""
        return self.environment.with_name(f"{self.environment.name}.log")

    def make(self) -> None:
        """Make the environment and stamp it; raises EnvironmentFailure when a stage failed."""
        (self.environment / STAMP).unlink(missing_ok=True)
        if self.manager == "venv":
            clear(self.project, self.environment)
        uv = self._uv()
        self._create(with_pip=uv is None)
        try:
            self._install(uv)
        except EnvironmentFailure as failure:
            if uv is None:
                raise
            say(f"runbook: uv failed, so pip installs the packages, which takes longer. {failure}")
            self._create(with_pip=True)
            self._install(None)
        fresh = self.environment / f"{STAMP}.new"
        fresh.write_text(expected_stamp(self.project, self.environment))
        fresh.replace(self.environment / STAMP)
        self.log.unlink()

    def _uv(self) -> str | None:
        """The uv to call, put into the project first where there is none; ``None`` and a word where that fails."""
        folder = self.project / ".venv.uv"
        program = str(folder / "bin/uv")
        if found := usable_uv(shutil.which("uv")) or usable_uv(program):
            return found
        shutil.rmtree(folder, ignore_errors=True)
        pinned = ["--requirement", str(self.project / "requirements-uv.lock"), "--target", str(folder)]
        install = ["install", "--no-deps", "--require-hashes", "--only-binary", ":all:", *pinned]
        try:
            self._run("uv, which installs packages faster than pip", [*bundled_pip(), *install])
        except EnvironmentFailure as failure:
            say(f"runbook: uv cannot be had, so pip installs the packages, which takes longer. {failure}")
            return None
        return program

    def _create(self, *, with_pip: bool) -> None:
        if self.manager == "venv":
            clear(self.project, self.environment)
            options = [] if with_pip else ["--without-pip"]
            self._run("virtual environment", [str(INTERPRETER), "-I", "-m", "venv", *options, str(self.environment)])

    def _install(self, uv: str | None) -> None:
        python = str(self.environment / "bin/python")
        if uv:
            # The one setting of pip that uv takes from no variable.
            no_index = pip_settings(os.environ).get("no-index", "0").lower() in ("1", "true", "yes", "on")
            install = [uv, "pip", "install", "--python", python, "--no-deps", *(["--no-index"] if no_index else [])]
        else:
            install = [python, "-I", "-m", "pip", "install", "--no-deps"]
        locked = [*install, "--require-hashes", "--requirement", str(self.project / "requirements.lock")]
        self._run("the packages that requirements.lock pins", locked)
        # setuptools is pinned and just installed: the project's own build needs nothing else from anywhere.
        self._run("the project itself", [*install, "--no-build-isolation", "--editable", str(self.project)])

    def _run(self, title: str, command: Sequence[str]) -> None:
        """Run one command with its output in the log, telling what it does and how long it took.

        Raises:
            EnvironmentFailure: the command failed.
        """
        settings = {name: value for name, value in os.environ.items() if not HARMFUL_SETTINGS.fullmatch(name)}
        settings |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_PROGRESS_BAR": "off"}
        settings |= uv_settings(pip_settings(os.environ), os.environ)
        if os.geteuid() != 0:
            # Otherwise what sudo runs would write root's files into a plain user's environment.
            settings["UV_COMPILE_BYTECODE"] = "1"
        started = time.monotonic()
        say(f"  {title}")
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.project,
                env=settings,
                pass_fds=[self.lock],
            )
            try:
                while process.poll() is None:
                    try:
                        process.wait(HEARTBEAT_SECONDS)
                    except subprocess.TimeoutExpired:
                        say(f"    at it for {time.monotonic() - started:.0f} s")
            except BaseException:
                process.terminate()
                process.wait()
                raise
        if process.returncode != 0:
            end = f"exit status {process.returncode}; the end of its output:\n{tail(self.log)}"
            raise EnvironmentFailure(f"{title}: {end}")
        say(f"    {time.monotonic() - started:.1f} s")


def usable_uv(program: str | None) -> str | None:
    """Return the program if it is a uv that runs and is recent enough; one that is too old is told."""
    if program is None or not Path(program).exists():
        return None
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    except OSError:  # half installed, or made for another processor
        return None
    version = re.match(r"uv (\d+)\.(\d+)\.(\d+)", answer)
    if version is None:
        return None
    if tuple(int(part) for part in version.groups()) < OLDEST_UV:
        say(f"  {program} is too old ({version[0]}); at least {'.'.join(map(str, OLDEST_UV))} is used")
        return None
    return program


def bundled_pip() -> list[str]:
    """Return the command that runs the pip which Python brings for new environments, without making one.

    Raises:
        EnvironmentFailure: it is not where Python or Debian put it.
    """
    folders = [Path(ensurepip.__file__).with_name("_bundled"), Path("/usr/share/python-wheels")]
    wheels = [wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))]
    if not wheels:
        raise EnvironmentFailure(f"no pip in {' or '.join(map(str, folders))}")
    return [str(INTERPRETER), "-I", str(wheels[0] / "pip")]


def clear(project: Path, environment: Path) -> None:
    """Remove an environment that is no good.

    Raises:
        EnvironmentFailure: the folder is not an environment: OVERLAY_RUNBOOK_VENV may name anything.
    """
    if not environment.exists():
        return
    is_environment = environment == project / ".venv" or (environment / "pyvenv.cfg").exists()
    if not is_environment and any(environment.iterdir()):
        raise EnvironmentFailure(f"{environment} exists and is not a Python environment; it is left alone")
    shutil.rmtree(environment)


@contextmanager
def root_filesystem_beside(project: Path, log: Path, command: Sequence[str]) -> Iterator[None]:
    """Let the nodes' root filesystem be built while the block runs, and on after it, if the command will need it.

    That is a process of its own with the same Python, ``runbook_lib/testbed/prebuild.py``. It says in one line what it
    is going to do, writes into ``log`` from then on, and ends when the launcher does. When the block fails or is
    interrupted, it is ended here.
    """
    if os.geteuid() != 0 or not command:
        yield
        return
    program = "import sys; sys.path.insert(0, sys.argv[1]); from runbook_lib.testbed import prebuild; prebuild.main()"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [str(INTERPRETER), "-I", "-B", "-c", program, str(project), str(os.getppid()), str(log), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            text=True,
        )
    if child.stdout is not None and (line := child.stdout.readline()):
        say(line.rstrip())
    try:
        yield
    except BaseException:
        child.send_signal(signal.SIGINT)
        child.wait()
        raise


def prepare(manager: str, project: Path, environment: Path, command: Sequence[str]) -> None:
    """Make the environment unless it is good, one maker at a time.

    Raises:
        EnvironmentFailure: a stage failed.
    """
    folder = environment if manager == "conda" else environment.parent
    with sole_maker(folder / f"{environment.name}.lock") as lock:
        reason = reason_to_make(project, environment)
        if not reason:
            return
        started = time.monotonic()
        version = ".".join(str(part) for part in sys.version_info[:3])
        say(f"runbook: making the Python environment (Python {version}) in {environment}: {reason}")
        with root_filesystem_beside(project, environment.with_name(f"{environment.name}.testbed.log"), command):
            Maker(manager, project, environment, lock).make()
        say(f"runbook: the environment is ready after {time.monotonic() - started:.0f} s")


def main(arguments: list[str]) -> int:
    """Run from the launcher; return its exit code."""
    manager, project, environment, *command = arguments
    try:
        prepare(manager, Path(project), Path(environment), command)
    except KeyboardInterrupt:
        say("runbook: interrupted; the next call makes the environment anew")
        return EXIT_INTERRUPTED
    except (EnvironmentFailure, OSError) as error:
        say(f"runbook: the environment could not be made: {error}")
        say("  remedy: see to the cause (network, disk, permissions) and call runbook again")
        return EXIT_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
