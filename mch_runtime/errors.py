"""The one error tree. Every error says what happened in a sentence and what to do in a hint.

Exit codes are those of the command line's documentation; 65 to 77 are BSD's ``sysexits.h``.
"""

from __future__ import annotations


class SageError(Exception):
    """An error that a user can understand. ``message`` is one sentence, ``hint`` one more or ""."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SageError):
    """The command was given something it cannot use."""

    exit_code = 2


class DataError(SageError):
    """A file or record is not what it should be."""

    exit_code = 65


class ModelError(DataError):
    """A model file is refused; ``rule`` names the check that refused it."""

    def __init__(self, message: str, *, rule: str, hint: str = "") -> None:
        super().__init__(f"{message} [{rule}]", hint=hint)
        self.rule = rule


class HeadError(DataError):
    """A head is damaged, or belongs to another model."""


class NothingLearnedError(SageError):
    """The data was good, and what was fitted on it is of no use."""


class MissingInputError(SageError):
    """A named file does not exist."""

    exit_code = 66


class NetworkError(SageError):
    """A server could not be reached, or did not do what it should."""

    exit_code = 69


class NotInstalledError(SageError):
    """A package that this needs is missing or cannot be loaded."""

    exit_code = 69


class NativeError(SageError):
    """llama.cpp failed where it should not have."""

    exit_code = 70


class ResourceError(SageError):
    """Not enough memory for what was asked."""

    exit_code = 71


class FileError(SageError):
    """Reading or writing failed."""

    exit_code = 74


class AccessError(SageError):
    """A file may not be read or written."""

    exit_code = 77


class Interrupted(SageError):  # noqa: N818 - an event, not a mistake
    """The user stopped the work."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted")


def file_error(error: OSError, action: str, path: object) -> SageError:
    """The error of this tree that says what the operating system said."""
    if isinstance(error, FileNotFoundError):
        return MissingInputError(f"cannot {action} {path}: no such file", hint="check the path")
    if isinstance(error, PermissionError):
        return AccessError(f"cannot {action} {path}: permission denied", hint="check who owns the file")
    reason = error.strerror or str(error)
    return FileError(f"cannot {action} {path}: {reason[:1].lower()}{reason[1:]}")
