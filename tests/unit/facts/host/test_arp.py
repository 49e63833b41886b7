from __future__ import annotations

import pytest

from runbook_lib.facts.host.addresses import parse_arping


@pytest.mark.parametrize("tool", ["iputils", "busybox"])
def test_the_mac_that_answers_is_found(captured, tool: str) -> None:
    assert parse_arping(captured(f"arping_{tool}_answered.txt")) == "02:00:00:00:01:02"


@pytest.mark.parametrize("tool", ["iputils", "busybox"])
def test_a_free_address_has_no_owner(captured, tool: str) -> None:
    assert parse_arping(captured(f"arping_{tool}_free.txt")) is None


@pytest.mark.parametrize("tool", ["iputils", "busybox"])
def test_a_probe_that_could_not_be_sent_is_no_free_address(captured, tool: str) -> None:
    with pytest.raises(ValueError, match="eth9"):
        parse_arping(captured(f"arping_{tool}_no_interface.txt"))


@pytest.mark.parametrize("text", ["", "sh: arping: not found\n", "Sent 1 probe(s)\nReceived 1 response(s)\n"])
def test_unclear_output_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="arping"):
        parse_arping(text)
