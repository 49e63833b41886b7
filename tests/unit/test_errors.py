"""The tree of errors: as drawn, complete, and each saying place, remedy and exit code."""

from __future__ import annotations

import inspect
import re
import subprocess

import pytest
from IPython.core.interactiveshell import InteractiveShell

from runbook_lib import errors
from runbook_lib.errors import (
    CheckFailed,
    CommandError,
    CommandTimeout,
    EngineError,
    ExitCode,
    Fault,
    HostKeyError,
    NodeError,
    ParameterError,
    RunbookError,
    StepFailed,
    TestbedError,
    UnreachableError,
)

CLASSES = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, RunbookError)]


def drawn_tree() -> dict[str, tuple[str, int | None]]:
    """Class name → (parent's name, exit code if the drawing has one), read from the module's docstring."""
    tree: dict[str, tuple[str, int | None]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([│├└─ ]*)([A-Z]\w+)(?: +exit (\d))?", line)
        if found:
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            tree[found[2]] = (path[depth - 1] if depth else "Exception", int(found[3]) if found[3] else None)
    return tree


def test_the_docstring_draws_the_tree_that_there_is() -> None:
    assert {name: parent for name, (parent, _) in drawn_tree().items()} == {
        item.__name__: item.__bases__[0].__name__ for item in CLASSES
    }


def test_every_exit_code_is_the_drawn_one_or_the_parents() -> None:
    tree = drawn_tree()
    for item in CLASSES:
        parent, drawn = tree[item.__name__]
        inherited = ExitCode.ERROR if parent == "Exception" else getattr(errors, parent).exit_code
        assert item.exit_code == (inherited if drawn is None else drawn), item.__name__


def test_all_equals_what_the_module_defines() -> None:
    defined = {
        name
        for name, item in vars(errors).items()
        if not name.startswith("_") and inspect.isclass(item) and item.__module__ == errors.__name__
    }
    assert set(errors.__all__) == defined
    assert list(errors.__all__) == sorted(errors.__all__)


def test_every_error_of_the_package_is_in_the_one_tree() -> None:
    assert all(issubclass(item, RunbookError) for item in CLASSES)
    assert {int(code) for code in ExitCode} == set(range(8))


def test_an_error_reads_as_place_message_and_remedy() -> None:
    error = RunbookError("it broke", place="node3", remedy="mend it")
    assert str(error) == "node3: it broke\n  remedy: mend it"
    assert str(RunbookError("it broke")) == "it broke"
    assert (error.message, error.place, error.remedy) == ("it broke", "node3", "mend it")


def test_a_parameter_error_lists_every_fault_with_its_place() -> None:
    error = ParameterError([Fault("a.yaml:1: x", "wrong"), Fault("a.yaml:2: y", "worse")], place="a.yaml")
    assert str(error).splitlines()[:3] == [
        "a.yaml: 2 faults, nothing was touched:",
        "  - a.yaml:1: x: wrong",
        "  - a.yaml:2: y: worse",
    ]
    assert len(error.faults) == 2


def test_a_host_key_error_shows_both_fingerprints() -> None:
    error = HostKeyError("node1", offered="SHA256:new", expected="SHA256:old", known_hosts="/k", host="10.0.0.1:22")
    assert "SHA256:new" in str(error)
    assert "SHA256:old" in str(error)
    assert error.exit_code == ExitCode.BAD_INPUT
    unknown = HostKeyError("node1", offered="SHA256:new", expected=None, known_hosts="/k", host="10.0.0.1:22")
    assert "has no key for it" in str(unknown)


def test_a_failed_check_says_expected_and_found() -> None:
    error = CheckFailed("addresses moved", expected=0, found=2, node="node2")
    assert str(error) == "node2: addresses moved\n  expected: 0\n  found:    2"


def test_a_failed_step_lists_its_rows() -> None:
    error = StepFailed("create network", ["node1: no store"])
    assert "step 'create network' did not succeed:\n  - node1: no store" in str(error)
    assert error.rows == ("node1: no store",)


def test_a_testbed_error_shows_the_end_of_the_log() -> None:
    error = TestbedError("node1 does not boot", readiness_stage="address", log_tail="a\nb")
    assert str(error) == "node1 does not boot\n  | a\n  | b"
    assert error.readiness_stage == "address"


def test_node_errors_name_their_node() -> None:
    for error in (
        NodeError("node1", "x"),
        UnreachableError("node1", "x"),
        CommandError("node1", ["x"], exit_status=1),
        EngineError("node1", "ps", "x", status=500),
    ):
        assert (error.node, error.place) == ("node1", "node1")


def test_a_command_error_holds_how_it_was_called_and_how_it_ended() -> None:
    error = CommandError("node1", ["ls", "it's"], exit_status=2, stdout="out", stderr="line\n" * 20 + "last")
    assert (error.argv, error.exit_status, error.stdout_tail) == (("ls", "it's"), 2, "out")
    assert len(error.stderr_tail.splitlines()) == 12
    assert error.stderr_tail.endswith("last")
    assert "exit status 2" in error.message
    assert "  | last" in error.message
    assert error.paste in error.remedy


def test_a_timed_out_command_is_a_command_error_with_the_exit_code_of_a_timeout() -> None:
    error = CommandTimeout("node1", ["sleep", "9"], limit=1.5)
    assert isinstance(error, CommandError)
    assert (error.exit_code, error.exit_status, error.limit) == (ExitCode.TIMEOUT, None, 1.5)
    assert "no end after 1.5 s, it may still be running there" in str(error)


@pytest.mark.parametrize("argv", [["printf", "%s|", "a b", "it's", "$HOME", "*", "é", "", "-n"], ["echo", 'a"b\nc']])
def test_the_line_to_paste_gives_the_command_its_very_arguments(argv: list[str]) -> None:
    # A shell function in place of ssh does what sshd does: hands the last word to a shell.
    error = CommandError("node1", argv, exit_status=1, destination="docker@10.0.0.1")
    script = 'ssh() { for word in "$@"; do :; done; sh -c "$word"; }\n'
    direct = subprocess.run(argv, capture_output=True, check=True).stdout
    assert subprocess.run(["sh", "-c", script + error.paste], capture_output=True, check=True).stdout == direct


def test_the_line_to_paste_brings_its_standard_input_along() -> None:
    error = CommandError("node1", ["cat"], exit_status=1, stdin=b"it's\n100 %s $HOME\n")
    script = 'ssh() { for word in "$@"; do :; done; sh -c "$word"; }\n'
    output = subprocess.run(["sh", "-c", script + error.paste], capture_output=True, check=True).stdout
    assert output == b"it's\n100 %s $HOME\n"
    binary = CommandError("node1", ["cat"], exit_status=1, stdin=b"\xff\x00")
    assert binary.paste.endswith("< INPUT  # INPUT: a file with the 2 bytes that it was given")


def test_a_line_too_long_to_read_stays_out_of_the_message() -> None:
    error = CommandError("node1", ["sh"], exit_status=1, stdin=b"x" * 5000)
    assert error.remedy == ""
    assert "x" * 5000 in error.paste


def test_a_notebook_shows_the_message_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    shell = InteractiveShell.instance()
    try:
        result = shell.run_cell(
            "from runbook_lib.errors import CheckFailed\nraise CheckFailed('no', expected=1, found=2)"
        )
    finally:
        InteractiveShell.clear_instance()
    assert isinstance(result.error_in_exec, CheckFailed)
    assert capsys.readouterr().out.strip() == "CheckFailed: no\n  expected: 1\n  found:    2"
