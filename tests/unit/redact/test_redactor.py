"""Secrets leave a text; everything else in it stays."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import random
import shlex
import string
from urllib.parse import quote, quote_plus, urlencode

import pandas as pd
import pytest

from runbook_lib.redact import Redactor, StreamRedactor

AWKWARD = "p\"a's<s>w&o\\r/d é%+\n\tend"


def test_a_registered_value_is_replaced_by_its_name_everywhere() -> None:
    redact = Redactor({"TOKEN": "s3cret"})
    assert redact("a s3cret, a s3cret") == "a [REDACTED:TOKEN], a [REDACTED:TOKEN]"


def test_other_text_stays_as_it_is() -> None:
    assert Redactor({"TOKEN": "s3cret"})("password=hunter2") == "password=hunter2"
    assert Redactor()("password=hunter2") == "password=hunter2"


def test_the_longer_of_two_values_goes_first() -> None:
    redact = Redactor({"SHORT": "abcd", "LONG": "abcdefgh"})
    assert redact("abcdefgh abcd") == "[REDACTED:LONG] [REDACTED:SHORT]"


def test_of_two_values_that_overlap_nothing_is_left() -> None:
    redact = Redactor({"ONE": "abcdefgh", "TWO": "efghijklmnop"})
    assert redact("<abcdefghijklmnop>") == "<[REDACTED:TWO]>"


def test_a_value_that_would_spoil_ordinary_text_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="'PIN' is shorter than 4") as caught:
        Redactor({"PIN": "qx7"})
    assert "qx7" not in str(caught.value)


def test_its_own_repr_shows_no_secret() -> None:
    assert repr(Redactor({"TOKEN": "s3cret"})) == "Redactor(1 secrets)"


def test_a_secret_inside_the_mark_of_another_does_not_break_the_mark() -> None:
    redact = Redactor({"TOKEN": "a-long-secret", "OTHER": "REDACTED"})
    assert redact("a-long-secret") == "[REDACTED:TOKEN]"


def test_redacting_twice_is_redacting_once_even_when_a_secret_is_its_own_name() -> None:
    redact = Redactor({"password": "password", "OTHER": "REDACTED"})
    once = redact("login with password")
    assert once == redact(once) == "login with [REDACTED:password]"


def test_a_mark_that_only_looks_like_one_hides_nothing() -> None:
    assert Redactor({"TOKEN": "s3cret"})("[REDACTED:s3cret]") == "[REDACTED:[REDACTED:TOKEN]]"


@pytest.mark.parametrize("length", range(4, 60))
def test_a_value_of_any_length_is_found_at_any_place(length: int) -> None:
    letters = random.Random(length)
    value = "".join(letters.choices(string.ascii_letters + string.digits, k=length))
    redact = Redactor({"TOKEN": value})
    for before in range(20):
        assert redact("-" * before + value + "-" * (20 - before)) == "-" * before + "[REDACTED:TOKEN]" + "-" * (
            20 - before
        )


@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(str.strip, id="trimmed"),
        pytest.param(json.dumps, id="json"),
        pytest.param(lambda value: json.dumps(value, ensure_ascii=False), id="json with its letters"),
        pytest.param(lambda value: json.dumps(json.dumps(value)), id="json in json"),
        pytest.param(repr, id="repr"),
        pytest.param(lambda value: json.dumps([repr(value)]), id="repr in json"),
        pytest.param(lambda value: repr(value.encode()), id="repr of bytes"),
        pytest.param(html.escape, id="html"),
        pytest.param(lambda value: html.escape(repr(value)), id="repr in html"),
        pytest.param(lambda value: pd.DataFrame({"a": [value]}).to_html(), id="a table"),
        pytest.param(lambda value: json.dumps({"text/html": html.escape(value)}), id="html in json"),
        pytest.param(lambda value: _csv(value), id="csv"),
        pytest.param(quote, id="path of a url"),
        pytest.param(quote_plus, id="query of a url"),
        pytest.param(lambda value: urlencode({"password": value}), id="form"),
        pytest.param(shlex.quote, id="word of a shell"),
        pytest.param(lambda value: base64.b64encode(value.encode()).decode(), id="base64"),
        pytest.param(lambda value: base64.urlsafe_b64encode(value.encode()).decode(), id="base64 for urls"),
        pytest.param(lambda value: base64.b64encode(f"me:{value}".encode()).decode(), id="base64 of a login"),
        pytest.param(lambda value: base64.b64encode(f"user:{value}?".encode()).decode(), id="base64 of more"),
    ],
)
@pytest.mark.parametrize("value", [AWKWARD, "plain-S3cret-of-20-ch", "tail-end\n"], ids=["awkward", "plain", "short"])
def test_a_value_is_found_in_the_forms_that_programs_give_it(encode: object, value: str) -> None:
    assert callable(encode)
    text = encode(value)
    redacted = Redactor({"TOKEN": value})(f"before {text} after")
    assert "[REDACTED:TOKEN]" in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")


def _csv(value: str) -> str:
    text = io.StringIO()
    csv.writer(text).writerow([value])
    return text.getvalue()


def test_a_value_cut_short_for_display_is_found_too() -> None:
    value = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    table = pd.DataFrame({"value": [value]})
    redact = Redactor({"TOKEN": value})
    assert "[REDACTED:TOKEN]..." in redact(str(table))
    assert "[REDACTED:TOKEN]..." in redact(table._repr_html_())  # type: ignore[operator]
    assert redact(value[:30] + " is another word") == value[:30] + " is another word"


def test_strings_in_json_lose_their_secrets_and_the_shape_stays() -> None:
    redact = Redactor({"TOKEN": "s3cret"})
    value = {"a s3cret": ["s3cret", 1, 2.5, None, True, {"deep": ("x", "s3cret")}], "b": {}}
    assert redact.json(value) == {
        "a [REDACTED:TOKEN]": ["[REDACTED:TOKEN]", 1, 2.5, None, True, {"deep": ("x", "[REDACTED:TOKEN]")}],
        "b": {},
    }


def test_of_two_secrets_with_one_value_the_first_gives_the_name() -> None:
    assert Redactor({"ONE": "s3cret", "TWO": "s3cret"})("s3cret") == "[REDACTED:ONE]"


def test_ten_megabytes_without_any_of_two_hundred_secrets_stay_as_they_are() -> None:
    letters = random.Random(3)
    sizes = (9, 14, 24, 40, 70)
    values = {f"n{at}": "".join(letters.choices(string.ascii_letters, k=sizes[at % 5])) for at in range(200)}
    redact = Redactor(values)
    text = "node1 | 64 bytes from 10.0.0.2: seq=1 ttl=64 time=0.123 ms, dockerd[812]: level=info msg=ok\n" * 106_000
    assert redact(text) == text


FURTHER = [pytest.param(seed, marks=pytest.mark.repeat) for seed in range(12, 40)]


@pytest.mark.parametrize("seed", [*range(12), *FURTHER])
def test_however_a_text_is_split_nothing_of_a_secret_gets_through(seed: int) -> None:
    chance = random.Random(seed)
    values = {"A": "s3cret", "B": "s3cretive-and-longer", "C": "tive-and-longer-still-than-all", "D": AWKWARD}
    redact = Redactor(values)
    words = [
        *values.values(),
        "s3cr",
        "et",
        "s3cretive",
        "word ",
        "\n",
        "...",
        "SWMTKN-1-",
        "a1b2c3d4e5f6g7h8-i9j0",
        "-----",
    ]
    text = "".join(chance.choices(words, k=12)) + "."
    stream = StreamRedactor(redact)
    shown, at = [], 0
    while at < len(text):
        size = chance.randint(1, 9)
        shown.append(stream.feed(text[at : at + size]))
        at += size
    assert "".join([*shown, stream.flush()]) == redact(text)


def test_text_in_pieces_is_shown_as_soon_as_it_can_be_no_secret() -> None:
    stream = StreamRedactor(Redactor({"TOKEN": "s3cret"}))
    assert stream.feed("one line\n") == "one line\n"
    assert stream.feed("it is s3c") == "it is "
    assert stream.feed("ond to none") == "s3cond to none"
    assert stream.feed("it is s3c") == "it is "
    assert stream.feed("ret, now") == "[REDACTED:TOKEN], now"
    assert stream.feed("the end s3") == "the end "
    assert stream.flush() == "s3"
    assert stream.flush() == ""


def test_a_value_cut_short_is_found_when_its_ellipsis_comes_in_pieces() -> None:
    value = "0123456789abcdefghijklmnopqrstuvwxyz"
    stream = StreamRedactor(Redactor({"TOKEN": value}))
    assert [stream.feed(piece) for piece in (value[:20], ".", ".", ".\n")] == ["", "", "", "[REDACTED:TOKEN]...\n"]
