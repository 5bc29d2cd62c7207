"""What workers and parts of screens tell the screen; nothing else passes between them."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from sbert_cluster.tui.models.log import Record
from sbert_cluster.types import Rows


@dataclass
class RowsFound(Message):
    """A search has ended."""

    query: str
    """What was searched; empty: everything is shown again."""
    rows: Rows | None
    """int64: rows that hold it; None: all."""


@dataclass
class TaskTold(Message):
    """Work in another process has something to say."""

    said: Record
    """``{"stage", "done", "total", "unit"}``."""
