import itertools
import shutil
import subprocess

import pytest

from runbook_lib.errors import RunbookError
from runbook_lib.steps.platforms.blocks import find_block, outside_blocks, put_block, remove_block

BODY = "echo ours\n"
ARTICLE = "\nif [ -f /var/run/udhcpc.eth1.pid ] ; then\n\tkill 123\nfi\nifconfig eth1 192.168.99.104 up\n"

TEXTS = {
    "an empty file": "",
    "a script": "#!/bin/sh\necho theirs\n",
    "no shebang": ARTICLE,
    "no final line end": "#!/bin/sh\necho theirs",
    "CRLF lines": "#!/bin/sh\r\necho theirs\r\n",
    "CRLF without a final line end": "echo theirs\r\necho more",
    "blank lines at the end": "echo theirs\n\n\n",
    "an exit at the end": "#!/bin/sh\necho theirs\nexit 0\n",
    "an exit without a line end": "echo theirs\nexit",
    "bytes that are no UTF-8": b"echo '\xff\xfe'\n".decode(errors="surrogateescape"),
    "form feeds and other line ends that a shell does not know": "echo a\x0cb\u2028c\x85d\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_taking_a_block_out_gives_the_very_text_of_before(text: str) -> None:
    assert remove_block(put_block(text, "one", BODY), "one") == text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_two_blocks_go_in_and_out_in_any_order(text: str) -> None:
    for first, second in itertools.permutations(("one", "two")):
        both = put_block(put_block(text, "one", BODY), "two", "echo 2\n")
        without = remove_block(both, first)
        assert find_block(without, second) is not None
        left = remove_block(without, second)
        assert left is not None
        assert left.removesuffix("\n") == text.removesuffix("\n")


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_the_rest_is_kept_byte_for_byte(text: str) -> None:
    kept = outside_blocks(put_block(text, "one", BODY))
    assert kept.removesuffix("\n") == text.removesuffix("\n")


def test_a_new_file_begins_with_a_shebang_and_goes_with_its_block() -> None:
    text = put_block(None, "one", BODY)
    assert text.startswith("#!/bin/sh\n# >>> overlay-runbook one ")
    assert remove_block(text, "one") is None


def test_a_new_file_that_somebody_added_to_stays() -> None:
    text = put_block(None, "one", BODY) + "echo theirs\n"
    assert remove_block(text, "one") == "#!/bin/sh\necho theirs\n"


def test_an_empty_file_stays_an_empty_file() -> None:
    assert remove_block(put_block("", "one", BODY), "one") == ""


def test_a_block_is_replaced_where_it_stands() -> None:
    text = put_block("echo before\n", "one", BODY) + "echo after\n"
    changed = put_block(text, "one", "echo new\n")
    assert changed == text.replace("echo ours", "echo new")
    assert put_block(changed, "one", "echo new\n") == changed


def test_a_block_with_crlf_markers_is_still_found() -> None:
    text = put_block("echo theirs\n", "one", BODY).replace("\n", "\r\n")
    assert find_block(text, "one") == "echo ours\r\n"
    assert find_block(put_block(text, "one", BODY), "one") == BODY


def test_a_block_stands_above_an_exit_at_the_left_margin() -> None:
    text = put_block("#!/bin/sh\nif true; then\n    exit 1\nfi\necho theirs\nexit 0\n", "one", BODY)
    assert text.index("echo theirs") < text.index("echo ours") < text.index("exit 0")
    assert text.index("exit 1") < text.index("echo ours")


def test_an_exec_that_only_redirects_is_no_end() -> None:
    text = put_block("exec >>/var/log/boot 2>&1\nexec 3<file\necho theirs\n", "one", BODY)
    assert text.index("echo theirs") < text.index("echo ours")


@pytest.mark.parametrize(
    "text",
    [
        "# >>> overlay-runbook one >>>\necho\n",
        "echo\n# <<< overlay-runbook one <<<\n",
        "# <<< overlay-runbook one <<<\n# >>> overlay-runbook one >>>\n",
        2 * "# >>> overlay-runbook one >>>\n# <<< overlay-runbook one <<<\n",
    ],
)
def test_markers_that_do_not_match_are_refused_and_not_guessed_at(text: str) -> None:
    for edit in (
        lambda: find_block(text, "one"),
        lambda: put_block(text, "one", BODY),
        lambda: remove_block(text, "one"),
    ):
        with pytest.raises(RunbookError, match="markers of the block 'one' do not match"):
            edit()


def test_a_text_without_the_block_is_returned_as_it_is() -> None:
    assert remove_block("echo\n", "one") == "echo\n"
    assert remove_block(None, "one") is None
    assert find_block(None, "one") is None


def test_a_body_must_end_its_last_line() -> None:
    with pytest.raises(ValueError, match="line end"):
        put_block("", "one", "echo")


@pytest.mark.parametrize("text", [text for text in TEXTS.values() if "\r" not in text and text.isascii()])
def test_a_shell_runs_the_block_and_the_rest(text: str) -> None:
    shell = shutil.which("dash") or "sh"
    script = put_block(text.replace(ARTICLE, "echo theirs\n"), "one", BODY)
    done = subprocess.run([shell], input=script, capture_output=True, text=True, check=True)
    assert "ours" in done.stdout.split()
    assert ("theirs" in done.stdout.split()) == ("theirs" in script)
