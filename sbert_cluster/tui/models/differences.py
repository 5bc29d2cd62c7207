"""Which words of two texts differ."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

_PIECE = re.compile(r"\s+|[^\W_]+(?:['’][^\W_]+)*|.", re.DOTALL)
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
    # Compared word by word, not letter by letter, and without the guess that common words are junk.
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    left, right = [False] * len(ours), [False] * len(theirs)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag != "equal":
            left[i:j] = [True] * (j - i)
            right[k:m] = [True] * (m - k)
    only_spaces = all(
        piece.isspace()
        for pieces, marks in ((ours, left), (theirs, right))
        for piece, mark in zip(pieces, marks, strict=True)
        if mark
    )
    return _merged(ours, left, only_spaces), _merged(theirs, right, only_spaces)


def _merged(pieces: list[str], marks: list[bool], mark_spaces: bool) -> list[Piece]:
    merged: list[Piece] = []
    for piece, mark in zip(pieces, marks, strict=True):
        differs = mark and (mark_spaces or not piece.isspace())
        if merged and merged[-1].differs == differs:
            merged[-1] = Piece(merged[-1].text + piece, differs)
        else:
            merged.append(Piece(piece, differs))
    return merged
