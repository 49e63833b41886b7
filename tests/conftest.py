"""What every test shares: an archive, key and locks of its own, and the rule for tests that boot the real testbed.

``OVERLAY_RUNBOOK_REQUIRE_TESTBED=1`` (set by .ci/run) makes the run fail where a testbed test would be skipped, or
where there is none at all: a gate that tested nothing must not look green.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Generator, Iterator

import coverage
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from runbook_lib.model import commands
from runbook_lib.model.locations import LOCKS_VARIABLE, RECORDS_VARIABLE, SIGNING_KEY_VARIABLE

#: What takes minutes, longest first, by the beginnings of paths; several in one line share a testbed, so one process
#: runs them all. After these come the rest of those that boot clusters, then those with kernels, then all others.
LONG = (
    ("tests/testbed/test_walkthrough.py",),
    ("tests/testbed/test_walkthrough_parts.py",),
    ("tests/browser/",),
    ("tests/testbed/test_walkthrough_swarm.py",),
    ("tests/testbed/test_bad_input_cluster.py",),
    ("tests/testbed/test_platforms.py",),
    (
        "tests/testbed/test_verify_",
        "tests/testbed/test_transport_",
        "tests/testbed/test_inventory.py",
        "tests/testbed/test_records_remote.py",
        "tests/testbed/test_bad_input_files.py",
    ),
    ("tests/testbed/test_secrets.py",),
    ("tests/testbed/test_classic_swarm.py",),
    ("tests/testbed/test_widgets.py",),
    ("tests/testbed/test_testbed_nodes.py",),
    ("tests/testbed/test_steps_etcd.py",),
)
REST = ("tests/testbed/", "tests/notebooks/", "tests/unit/launcher/", "tests/unit/test_code_style.py")
NEEDS_ROOT = "needs root, to boot the testbed's nodes: sudo ./runbook test"
NEEDS_LINUX = "needs Linux, for the testbed's nodes"


class LongestFirst(LoadScopeScheduling):
    """With several processes, each takes the next line of ``LONG`` as a whole, then file after file of the rest.

    No more clusters than processes are thus up at a time.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        place = place_of(file)
        return LONG[place][0] if place < len(LONG) else file


@pytest.fixture(scope="session", autouse=True)
def own_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, and nothing that a test starts, uses the archive, the signing key or the locks of whoever runs it."""
    folder = tmp_path_factory.mktemp("archive")
    places = {
        RECORDS_VARIABLE: str(folder / "records"),
        SIGNING_KEY_VARIABLE: str(folder / "keys" / "signing_key.pem"),
        LOCKS_VARIABLE: str(folder / "locks"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    before = {name: os.environ.get(name) for name in places}
    os.environ.update(places)
    yield
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture(autouse=True)
def no_cluster_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that one test ran in this process names no cluster in the texts of the next."""
    monkeypatch.setattr(commands, "_said", None)
    monkeypatch.delenv(commands.VARIABLE, raising=False)


def testbed_is_required() -> bool:
    return os.environ.get("OVERLAY_RUNBOOK_REQUIRE_TESTBED", "") not in {"", "0"}


def reason_to_skip_testbed() -> str:
    if sys.platform != "linux":
        return NEEDS_LINUX
    return NEEDS_ROOT if os.geteuid() != 0 else ""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", dest="with_repeats", help="run the long repeats as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.option.with_repeats:
        repeats = [item for item in items if item.get_closest_marker("repeat")]
        config.hook.pytest_deselected(items=repeats)
        items[:] = [item for item in items if item not in repeats]
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place_of(item.nodeid))
    marked = [item for item in items if item.get_closest_marker("testbed")]
    if testbed_is_required() and not marked:
        raise pytest.UsageError("OVERLAY_RUNBOOK_REQUIRE_TESTBED is set and none of these tests boots the testbed")
    if reason := reason_to_skip_testbed():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))


def place_of(nodeid: str) -> int:
    """Where a test's part stands in ``LONG``, and then in ``REST``; everything else comes after it."""
    parts = (*LONG, *((part,) for part in REST))
    return next((place for place, part in enumerate(parts) if nodeid.startswith(part)), len(parts))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    config.option.loadscopereorder = False  # it would begin with the most tests, not with the longest
    return LongestFirst(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and testbed_is_required() and item.get_closest_marker("testbed"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but OVERLAY_RUNBOOK_REQUIRE_TESTBED is set: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    # A line after pytest's own summary would hide that; pytest-cov itself could only print a table of all modules.
    if config.pluginmanager.hasplugin("_cov"):
        measured = coverage.Coverage(config_file=str(config.rootpath / "pyproject.toml"))
        measured.load()
        total = measured.report(file=io.StringIO())
        terminalreporter.write_line(f"branch coverage: {total:.1f} % (by module: python -m coverage report)")
