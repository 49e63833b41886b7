"""From when to when a TLS certificate is valid."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from runbook_lib.errors import KeyFileError


@dataclass(frozen=True)
class Validity:
    """Both moments in UTC; the certificate is valid in between."""

    begins: datetime
    ends: datetime

    def fault(self, now: datetime | None = None) -> str:
        """Why it is not valid now, with the day; empty when it is."""
        moment = now or datetime.now(UTC)
        if moment > self.ends:
            return f"expired on {self.ends:%Y-%m-%d}"
        return f"is not valid before {self.begins:%Y-%m-%d}" if moment < self.begins else ""


def read_validity(path: str) -> Validity:
    """When the first certificate of a PEM file is valid. Raises ``KeyFileError`` when there is none."""
    try:
        certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
    except OSError as error:
        raise KeyFileError(f"the certificate {path} cannot be read ({error.strerror})", remedy="name it") from error
    except ValueError as error:
        raise KeyFileError(f"{path} holds no certificate in PEM", remedy="name the right certificate") from error
    return Validity(certificate.not_valid_before_utc, certificate.not_valid_after_utc)
