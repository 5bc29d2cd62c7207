"""What can go wrong, and the exit code each kind ends with.

::

    SbertClusterError            (exit 1: a bug, or something nobody foresaw)
    ├── UsageError               (exit 2: a flag or an input that cannot be used)
    │   └── InputError           (exit 2: a file that cannot be read)
    ├── ModelError               (exit 3: a model that cannot be loaded or run)
    └── RunFolderError           (exit 4: the result cannot be written or read)

Every error carries two sentences: what is wrong, with the value that is wrong, and what to do.
"""

from enum import IntEnum


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


class UsageError(SbertClusterError):
    """A flag, or a combination of flags, that cannot be followed."""

    exit_code = ExitCode.USAGE


class InputError(UsageError):
    """An input file that cannot be read as what it claims to be."""


class ModelError(SbertClusterError):
    """A model that cannot be found, trusted, loaded or run."""

    exit_code = ExitCode.MODEL


class RunFolderError(SbertClusterError):
    """A result that cannot be written, or a run folder that cannot be read."""

    exit_code = ExitCode.RUN_FOLDER
