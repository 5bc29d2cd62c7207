"""What can go wrong, and the exit code each kind ends with.

::

    SbertClusterError            (exit 1: a bug, or something nobody foresaw)
    ├── UsageError               (exit 2: a flag or an input that cannot be used)
    │   ├── InputError           (exit 2: a file that cannot be read)
    │   └── EngineError          (exit 2: a cluster that cannot do the work)
    ├── ModelError               (exit 3: a model that cannot be loaded or run)
    │   └── TextError            (exit 3: a text that the model cannot read)
    └── RunFolderError           (exit 4: the result cannot be written or read)

Every error carries two sentences: what is wrong, with the value that is wrong, and what to do.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

_LEAVE_OUT = "Change it or leave it out."


class ExitCode(IntEnum):
    """How the process ended; the shell sees these numbers."""

    DONE = 0
    """The work was done."""
    BUG = 1
    """An error that should not be possible."""
    USAGE = 2
    """A flag or an input file cannot be used as it is."""
    MODEL = 3
    """The model cannot be found, trusted, loaded or run on this device."""
    RUN_FOLDER = 4
    """The result cannot be written, or a run folder cannot be read."""
    INTERRUPTED = 130
    """Ctrl-C; what was encoded so far is kept."""


class SbertClusterError(Exception):
    """Base of all errors that are meant for the user.

    Args:
        problem: What is wrong, with the value, without a full stop.
        remedy: What to do about it, one sentence, with its full stop.
    """

    exit_code = ExitCode.BUG

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}. {remedy}".strip())

    def __reduce__(self) -> tuple[Any, ...]:
        """Both sentences travel between processes."""
        return type(self), (self.problem, self.remedy)


class UsageError(SbertClusterError):
    """A flag, or a combination of flags, that cannot be followed."""

    exit_code = ExitCode.USAGE


class InputError(UsageError):
    """An input file that cannot be read as what it claims to be."""


class EngineError(UsageError):
    """A cluster that cannot do the work: there is no core, or workers die again and again."""


class ModelError(SbertClusterError):
    """A model that cannot be found, trusted, loaded or run."""

    exit_code = ExitCode.MODEL


class TextError(ModelError):
    """A text that the model cannot read, or that ends the process which reads it.

    Args:
        position: Which one, of those that were to be encoded.
        reason: What happened, without a full stop.
    """

    def __init__(self, position: int, reason: str) -> None:
        self.position = position
        self.reason = reason
        super().__init__(f"text {position} cannot be encoded ({reason})", _LEAVE_OUT)

    def at(self, position: int) -> TextError:
        """The same, where the text stands at another position."""
        return type(self)(position, self.reason)

    def __reduce__(self) -> tuple[Any, ...]:
        """Position and reason travel between processes."""
        return type(self), (self.position, self.reason)

    def in_row(self, row: int) -> ModelError:
        """The same, told by the row of the input."""
        return ModelError(f"row {row} cannot be encoded ({self.reason})", _LEAVE_OUT)


class RunFolderError(SbertClusterError):
    """A result that cannot be written, or a run folder that cannot be read."""

    exit_code = ExitCode.RUN_FOLDER
