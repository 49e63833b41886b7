"""Secrets: parameters and inventories say where to find them, never what they are."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, ValidationError, model_validator

from runbook_lib.errors import InputError
from runbook_lib.model.base import Model
from runbook_lib.redact import SHORTEST_SECRET, Redactor

if TYPE_CHECKING:
    pass


_LONGEST_FILE = 1_000_000
_SECRET_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
# These sentences end up on terminals and in logs: none of them repeats what was given.
_NO_REFERENCE = (
    "the value of a secret never stands here, for this text goes into notebooks, records and logs: "
    "write where to find it, {env: VARIABLE} or {file: PATH}"
)
_NOT_ONE = "write one of {env: VARIABLE} and {file: PATH}, and nothing else"


class SecretReference(Model):
    """Where a secret is found: in an environment variable, or in a file that only its owner may read."""

    env: str | None = None
    file: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_a_reference(cls, given: Any) -> Any:
        if isinstance(given, SecretReference):
            return given
        if not isinstance(given, Mapping):
            raise ValueError(_NO_REFERENCE)
        if not set(given) <= {"env", "file"}:
            raise ValueError(_NOT_ONE)
        variable, path = given.get("env"), given.get("file")
        if variable is not None and not (isinstance(variable, str) and _VARIABLE.fullmatch(variable)):
            raise ValueError("'env' must be the name of an environment variable: letters, digits and '_'")
        if path is not None and not (isinstance(path, str) and path and "\0" not in path):
            raise ValueError("'file' must be the path of a file")
        return given

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError(_NOT_ONE)
        return self

    def __str__(self) -> str:
        return f"the variable {self.env}" if self.env is not None else f"the file {self.file}"

    def resolve(self, place: str) -> str:
        """The secret itself; a line end at the end of a file does not belong to it.

        Args:
            place: where the reference stands, for the error.

        Raises:
            InputError: a variable that is not set, a file that cannot be read or that others may read, no text, or so
                short that it could not be kept out of the records.
        """
        value = self._from_environment(place) if self.env is not None else self._from_file(place)
        if len(value) < SHORTEST_SECRET:
            raise InputError(
                f"{self} holds {'nothing' if not value else f'less than {SHORTEST_SECRET} characters'}; "
                "a secret this short cannot be distinguished from ordinary text and redacted",
                place=place,
                remedy=f"use a secret of at least {SHORTEST_SECRET} characters",
            )
        return value

    def _from_environment(self, place: str) -> str:
        variable = str(self.env)
        value = os.environ.get(variable)
        if value is None:
            raise InputError(
                f"the environment variable {variable} is not set",
                place=place,
                remedy=f"export {variable} and run again",
            )
        return value

    def _from_file(self, place: str) -> str:
        path = str(self.file)
        try:
            found = Path(path).stat()
            data = b"" if _fault(found) else Path(path).read_bytes()
        except OSError as error:
            raise InputError(
                f"the file {path} cannot be read ({error.strerror})", place=place, remedy="name the right file"
            ) from error
        fault = _fault(found)
        if fault:
            raise InputError(
                f"the file {path} {fault}",
                place=place,
                remedy=f"chmod 600 {shlex.quote(path)}" if "others" in fault else "name the right file",
            )
        try:
            return data.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            # Not chained: the original error holds the bytes.
            raise InputError(f"the file {path} is not UTF-8 text", place=place, remedy="name the right file") from None


def _fault(found: os.stat_result) -> str:
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        return "is not a regular file"
    if mode & 0o077:
        return f"may be read by others (mode {mode:04o})"
    return f"is larger than {_LONGEST_FILE} bytes" if found.st_size > _LONGEST_FILE else ""


def _secret_name(value: str) -> str:
    if not _SECRET_NAME.fullmatch(value):
        raise ValueError("a secret's name is a letter, then letters, digits, '_', '.' or '-'")
    return value


def _references(given: Any) -> Any:
    if not isinstance(given, Mapping):
        raise ValueError(f"this must be names with references; {_NO_REFERENCE}")
    return given


Secrets = Annotated[dict[Annotated[str, AfterValidator(_secret_name)], SecretReference], BeforeValidator(_references)]


def redactor_of(data: Mapping[str, Any]) -> Redactor:
    """What keeps the secrets that can be found out of the faults of parameters that were not validated yet."""
    redactor = Redactor()
    references = data.get("secrets")
    for name, given in references.items() if isinstance(references, Mapping) else ():
        try:
            redactor.add(str(name), SecretReference.model_validate(given).resolve(""))
        except (ValidationError, InputError):
            continue  # a fault of its own, which validation finds
    return redactor
