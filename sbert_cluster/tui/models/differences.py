"""Which words of two texts differ."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

_PIECE = re.compile(r"\s+|[^\W_]+(?:['’][^\W_]+)*|.", re.DOTALL)
_MOST_COMPARISONS = 10_000
"""Of words with words, a few milliseconds; beyond it whole stretches are compared."""
_MOST_PIECES = 3_000
"""Beyond it comparing takes too long to be done while somebody scrolls."""


@dataclass(frozen=True)
class Piece:
    """A stretch of a text."""

    text: str
    differs: bool


def differences(one: str, other: str) -> tuple[list[Piece], list[Piece]]:
    """Cut two texts into stretches that they share and stretches that they do not.

    Words count whole. Spaces around a word that differs are not marked; where only spaces differ,
    they are. Texts of more than 3,000 words are returned whole, as if they did not differ.

    Returns:
        The pieces of each text; joined, they are the text.
    """
    ours, theirs = _PIECE.findall(one), _PIECE.findall(other)
    if max(len(ours), len(theirs)) > _MOST_PIECES:
        return [Piece(one, False)], [Piece(other, False)]
    left, right = _unlike(ours, theirs)
    only_spaces = all(
        piece.isspace()
        for pieces, marks in ((ours, left), (theirs, right))
        for piece, mark in zip(pieces, marks, strict=True)
        if mark
    )
    return _merged(ours, left, only_spaces), _merged(theirs, right, only_spaces)


def _unlike(ours: list[str], theirs: list[str]) -> tuple[list[bool], list[bool]]:
    """Which pieces of each text are not in the other, in the same order."""
    here = [i for i, piece in enumerate(ours) if not piece.isspace()]
    there = [i for i, piece in enumerate(theirs) if not piece.isspace()]
    one, other = [ours[i] for i in here], [theirs[i] for i in there]
    if one == other or len(one) * len(other) > _MOST_COMPARISONS:
        # Only spaces differ, or the texts are long: good enough, and quick.
        return _unlike_blocks(ours, theirs)
    left, right = [True] * len(ours), [True] * len(theirs)
    for i, j in _longest_common(one, other):
        left[here[i]] = right[there[j]] = False
    return left, right


def _unlike_blocks(ours: list[str], theirs: list[str]) -> tuple[list[bool], list[bool]]:
    # Without the guess that common words are junk.
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    left, right = [False] * len(ours), [False] * len(theirs)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag != "equal":
            left[i:j] = [True] * (j - i)
            right[k:m] = [True] * (m - k)
    return left, right


def _longest_common(one: list[str], other: list[str]) -> list[tuple[int, int]]:
    """Positions of the most words that both have in the same order."""
    length = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i in range(len(one) - 1, -1, -1):
        row, below = length[i], length[i + 1]
        for j in range(len(other) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if one[i] == other[j] else max(below[j], row[j + 1])
    found, i, j = [], 0, 0
    while i < len(one) and j < len(other):
        if one[i] == other[j]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif length[i + 1][j] >= length[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


def _merged(pieces: list[str], marks: list[bool], mark_spaces: bool) -> list[Piece]:
    merged: list[Piece] = []
    for piece, mark in zip(pieces, marks, strict=True):
        differs = mark and (mark_spaces or not piece.isspace())
        if merged and merged[-1].differs == differs:
            merged[-1] = Piece(merged[-1].text + piece, differs)
        else:
            merged.append(Piece(piece, differs))
    return merged
