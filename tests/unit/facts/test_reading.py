from __future__ import annotations

import subprocess

import pytest

from runbook_lib.errors import NodeError
from runbook_lib.facts.sections import parse_sections, reading, reading_script


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-s", "--", *arguments], input=reading_script(script), capture_output=True, text=True, check=False
    )


def test_a_script_s_sections_come_back_with_text_and_status() -> None:
    result = run("section good printf 'a\\n\\n'\nsection bad sh -c 'echo wrong >&2; exit 4'\nsection none true\n")
    sections = parse_sections(result.stdout)
    assert result.returncode == 0
    assert (sections["good"].text, sections["good"].exit_status) == ("a\n\n", 0)
    assert (sections["bad"].text, sections["bad"].exit_status) == ("wrong\n", 4)
    assert (sections["none"].text, sections["none"].exit_status) == ("", 0)


def test_a_script_may_stop_after_a_section_that_failed() -> None:
    sections = parse_sections(run("section first false || exit 0\nsection second true\n").stdout)
    assert list(sections) == ["first"]


def test_a_command_never_eats_the_rest_of_the_script() -> None:
    assert list(parse_sections(run("section reader cat\nsection after true\n").stdout)) == ["reader", "after"]


def test_a_section_s_text_may_look_like_another_section() -> None:
    sections = parse_sections("#>> outer\n#>> inner\n#<< inner 0\n\n#<< outer 0\n")
    assert sections["outer"].text == "#>> inner\n#<< inner 0\n"


def test_output_that_was_cut_off_is_an_error() -> None:
    with pytest.raises(ValueError, match="'first' was cut off"):
        parse_sections("#>> first\nhalf of it")


def test_output_of_a_login_banner_is_an_error() -> None:
    with pytest.raises(ValueError, match="unexpected output: 'Welcome!'"):
        parse_sections("Welcome!\n#>> first\n\n#<< first 0\n")


@pytest.mark.parametrize("error", [ValueError("odd"), KeyError("odd"), IndexError("odd"), TypeError("odd")])
def test_what_a_parser_cannot_read_names_node_and_reading(error: Exception) -> None:
    with (
        pytest.raises(NodeError, match=r"node3: cannot read the clock: .*odd") as caught,
        reading("node3", "clock"),
    ):
        raise error
    assert caught.value.node == "node3"
    assert caught.value.remedy
