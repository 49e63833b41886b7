from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runbook_lib.errors import KeyFileError
from runbook_lib.testbed.node.certificates import Authority
from runbook_lib.transport.docker.connection import Validity, read_validity


def test_a_certificate_tells_from_when_to_when_it_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(Authority.create("unit").pem)
    found = read_validity(str(path))
    now = datetime.now(UTC)
    assert found.begins < now < found.ends
    assert found.fault() == ""
    assert found.fault(found.ends + timedelta(seconds=1)) == f"expired on {found.ends:%Y-%m-%d}"


def test_a_certificate_whose_time_has_not_come_says_so() -> None:
    validity = Validity(datetime(2030, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC))
    assert validity.fault(datetime(2029, 1, 1, tzinfo=UTC)) == "is not valid before 2030-01-01"


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    with pytest.raises(KeyFileError, match="No such file"):
        read_validity(str(path))
    path.write_text("nothing")
    with pytest.raises(KeyFileError, match="does not contain a PEM certificate"):
        read_validity(str(path))
