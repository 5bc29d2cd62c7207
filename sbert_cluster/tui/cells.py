"""What stands in a cell of a table, and how it is cut to a width; nothing in it acts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.cells import cell_len, split_graphemes

from sbert_cluster.report.escape import ELLIPSIS, visible
from sbert_cluster.tui.models.differences import Piece


class Tone(StrEnum):
    """How a piece of text looks; each has a sign beside its colour, so that none is needed."""

    PLAIN = "plain"
    DIM = "dim"
    STRONG = "strong"
    ACCENT = "accent"
    GOOD = "good"
    BAD = "bad"
    MARK = "mark"
    """A word that differs: underlined and bold."""


@dataclass(frozen=True)
class Span:
    """A stretch of a cell."""

    text: str
    tone: Tone = Tone.PLAIN


Cell = Sequence[Span]


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    width: int
    """In cells; 0: takes what the others leave."""
    right: bool = False
    """Whether it is aligned to the right."""
    at_least: int = 0
    """Width of the table below which the column is left out."""


def plain(text: str, tone: Tone = Tone.PLAIN) -> Cell:
    """A cell of one tone."""
    return (Span(text, tone),)


def marked(pieces: Sequence[Piece], tone: Tone = Tone.PLAIN) -> Cell:
    """A cell in which the pieces that differ are marked."""
    return tuple(Span(piece.text, Tone.MARK if piece.differs else tone) for piece in pieces)


def fit(cell: Cell, width: int, *, right: bool = False) -> list[Span]:
    """Make a cell exactly as wide as its column.

    Args:
        cell: Raw texts: they are made visible here.
        width: In cells.
        right: Whether the filling goes to the left.

    Returns:
        Spans that together take ``width`` cells; ``…`` stands where the text was cut.
    """
    # No more is looked at than could fit: a text may be a book.
    shown = [Span(visible(span.text[: 8 * width + 64]), span.tone) for span in _head(cell, width)]
    lengths = [cell_len(span.text) for span in shown]
    total = sum(lengths)
    if total > width:
        shown, total = _cut(shown, width)
    filling = Span(" " * (width - total))
    if width == total:
        return shown
    return [filling, *shown] if right else [*shown, filling]


def bar(share: float, width: int) -> str:
    """A bar of at most ``width`` cells, in steps of a half; something is never nothing."""
    halves = min(max(round(share * width * 2), 1 if share > 0 else 0), width * 2)
    return ("━" * (halves // 2) + "╸" * (halves % 2)).ljust(width)


def _head(cell: Cell, width: int) -> Sequence[Span]:
    """The first spans, as many as could be seen."""
    taken, seen = [], 0
    for span in cell:
        taken.append(span)
        seen += len(span.text)
        if seen > 8 * width + 64:
            break
    return taken


def _cut(spans: Sequence[Span], width: int) -> tuple[list[Span], int]:
    kept: list[Span] = []
    used = 0
    for span in spans:
        end = 0
        for _, stop, size in split_graphemes(span.text)[0]:
            if used + size > width - 1:
                kept.append(Span(span.text[:end], span.tone))
                return [*kept, Span(ELLIPSIS, Tone.DIM)], used + 1
            end, used = stop, used + size
        kept.append(span)
    return kept, used
