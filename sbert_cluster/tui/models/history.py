"""Edits in order, with undo and redo: the state is what the edits that stand add up to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from sbert_cluster.errors import RunFolderError
from sbert_cluster.tui.models.log import EditLog, Record

E = TypeVar("E")

UNDO, REDO = "undo", "redo"


@dataclass(frozen=True)
class Language(Generic[E]):
    """How edits of one kind are written down."""

    to_record: Callable[[E], Record]
    """An edit as a line of the log."""
    parse: Callable[[Record], E]
    """The way back; raises ``KeyError``, ``ValueError`` or ``TypeError``."""
    replaces: Callable[[E, E], bool] = lambda _, __: False
    """Whether an edit takes the place of the one before it (a slider that moves on)."""


class History(Generic[E]):
    """Edits that stand, and those taken back; every step is in the log before it counts.

    Args:
        log: Where steps are kept.
        language: How they are written down.

    Raises:
        RunFolderError: If the log cannot be read.
    """

    def __init__(self, log: EditLog, language: Language[E]) -> None:
        self.done: list[E] = []
        """Edits that stand, oldest first."""
        self.undone: list[E] = []
        """Edits taken back, the one to redo first at the end."""
        self._log, self._language = log, language
        for record in log.read():
            self._replay(record)

    def apply(self, edit: E) -> None:
        """Make an edit."""
        self._log.append({**self._language.to_record(edit), "at": _now()})
        self._apply(edit)

    def undo(self) -> E | None:
        """Take back the latest edit that stands; None if there is none."""
        if not self.done:
            return None
        self._log.append({"operation": UNDO, "at": _now()})
        return self._undo()

    def redo(self) -> E | None:
        """Make the edit again that was taken back last; None if there is none."""
        if not self.undone:
            return None
        self._log.append({"operation": REDO, "at": _now()})
        return self._redo()

    def _apply(self, edit: E) -> None:
        if self.done and self._language.replaces(edit, self.done[-1]):
            self.done.pop()
        self.done.append(edit)
        self.undone.clear()

    def _undo(self) -> E:
        edit = self.done.pop()
        self.undone.append(edit)
        return edit

    def _redo(self) -> E:
        edit = self.undone.pop()
        self.done.append(edit)
        return edit

    def _replay(self, record: Record) -> None:
        try:
            if record["operation"] == UNDO:
                self._undo()
            elif record["operation"] == REDO:
                self._redo()
            else:
                self._apply(self._language.parse(record))
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise RunFolderError(
                f"{self._log.path}: {record!r} cannot be followed ({error})",
                "It may be of a newer version; move the file away to start anew.",
            ) from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
