"""Secrets leave a text; everything else in it stays."""

from __future__ import annotations

import pytest

from runbook_lib.redact import Redactor


def test_a_registered_value_is_replaced_by_its_name_everywhere() -> None:
    redact = Redactor({"TOKEN": "s3cret"})
    assert redact("a s3cret, a s3cret") == "a [REDACTED:TOKEN], a [REDACTED:TOKEN]"


def test_other_text_stays_as_it_is() -> None:
    assert Redactor({"TOKEN": "s3cret"})("password=hunter2") == "password=hunter2"
    assert Redactor()("password=hunter2") == "password=hunter2"


def test_the_longer_of_two_values_goes_first() -> None:
    redact = Redactor({"SHORT": "abcd", "LONG": "abcdefgh"})
    assert redact("abcdefgh abcd") == "[REDACTED:LONG] [REDACTED:SHORT]"


def test_a_value_that_would_spoil_ordinary_text_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="'PIN' is shorter than 4") as caught:
        Redactor({"PIN": "qx7"})
    assert "qx7" not in str(caught.value)


def test_its_own_repr_shows_no_secret() -> None:
    assert repr(Redactor({"TOKEN": "s3cret"})) == "Redactor(1 secrets)"


def test_a_secret_inside_the_mark_of_another_does_not_break_the_mark() -> None:
    redact = Redactor({"TOKEN": "a-long-secret", "OTHER": "REDACTED"})
    assert redact("a-long-secret") == "[REDACTED:TOKEN]"
