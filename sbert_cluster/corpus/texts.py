"""What a row says: its text, the text in normal form, and the distinct texts of a corpus."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise

import numpy as np
import polars as pl

from sbert_cluster.types import Corpus, Rows

VISIBLE = r"[^\s\p{Cc}\p{Cf}]"
"""Matches in a text that has anything to see (syntax of polars)."""

_EXOTIC = "\u0250"
"""First character beyond the Latin letters that are stable once folded."""
_ASCII_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Distinct:
    """The distinct texts among rows."""

    first: Rows
    """int64[m]: row of the first copy of each distinct text, in order of appearance."""
    index: Rows
    """int64[n]: position in ``first`` of each row's text; -1 for an empty text."""

    def __len__(self) -> int:
        return len(self.first)


def texts_of(corpus: Corpus) -> list[str]:
    """The text of each row, exactly as it stands in the file.

    Several text columns are joined by a line break, blank ones left out. A text is empty if it is
    null, or if only white space, control (Cc) and format (Cf) characters are in it.

    Args:
        corpus: The rows.

    Returns:
        str[n]; ``""`` for an empty row, and for every row of a corpus without text columns.
    """
    if not corpus.text_columns:
        return [""] * len(corpus)
    parts = []
    for name in corpus.text_columns:
        text = pl.col(name).cast(pl.String)
        parts.append(pl.when(text.str.contains(VISIBLE)).then(text))
    joined = pl.concat_str(parts, separator="\n", ignore_nulls=True).fill_null("")
    texts: list[str] = corpus.frame.select(joined.alias("text"))["text"].to_list()
    return texts


def normalise(text: str) -> str:
    r"""A text without the differences that do not matter: case, white space, punctuation, form.

    Two texts that mean different things must not become equal, so only what is certain goes:

    * NFKC and case folding; a superscript or fraction behind a digit stays apart (10² is not 102).
    * Control and format characters go, except joiners and tags, which tell emoji and words apart.
    * Punctuation (P*) becomes a space. It stays where it carries meaning: ``# % & @ * / \ +``,
      per-mille and section signs; between two digits (1.5, 10:30); a dash before a number (-5); a
      full stop before a word (.5, .NET); an apostrophe between letters (we're); quotes behind a
      digit (5" pipe); ``!=``; a face such as ``:(``. Symbols (S*) always stay.
    * Runs of white space become one space; ends are stripped.

    Args:
        text: Any text.

    Returns:
        The normal form; if it would be empty, the text with its punctuation. Idempotent.
    """
    done = _once(text)
    if done.isascii() or max(done) < _EXOTIC:
        return done
    # Folding, composing and taking away can each make room for the others.
    while (again := _once(done)) != done:
        done = again
    return done


def distinct(texts: Sequence[str]) -> Distinct:
    """Number the distinct non-empty texts.

    Args:
        texts: str[n]; ``""`` is an empty row.

    Returns:
        Where each distinct text stands first, and which of them each row holds.
    """
    numbers: dict[str, int] = {}
    first: list[int] = []
    index = np.full(len(texts), -1, np.int64)
    for row, text in enumerate(texts):
        if not text:
            continue
        number = numbers.setdefault(text, len(first))
        if number == len(first):
            first.append(row)
        index[row] = number
    return Distinct(np.array(first, np.int64), index)


def _once(text: str) -> str:
    folded = _fold(text)
    plain = _punctuation(folded.isascii()).sub(_keep_or_space, folded)
    return " ".join(plain.split()) or " ".join(folded.split())


def _fold(text: str) -> str:
    if text.isascii():
        plain = text if text.isprintable() else _ASCII_CONTROL.sub("", " ".join(text.split()))
        return plain.lower()
    text = " ".join(text.split())
    # Few texts hold such characters, and looking is much faster than replacing.
    if not _invisible().isdisjoint(text):
        text = "".join(char for char in text if char not in _invisible())
    if not _numerals().isdisjoint(text):
        text = _beside_numeral().sub("^", text)
    folded = unicodedata.normalize("NFKC", text).casefold()
    # U+0345 and a few more compose only after folding.
    return unicodedata.normalize("NFKC", folded).replace("\u2019", "'").replace("\u02bc", "'")


def _keep_or_space(match: re.Match[str]) -> str:
    return " " if match.lastgroup == "drop" else match.group()


@cache
def _punctuation(ascii_only: bool) -> re.Pattern[str]:
    """Matches punctuation; the group ``drop`` is set where it carries no meaning.

    The pattern for ASCII gives the same as the other, sooner.
    """
    last = 127 if ascii_only else sys.maxunicode
    every = _char_class("P", last=last)
    dashes = _char_class("Pd", last=last)
    word = r"[^\W_]"
    keep = [
        r"[#%&@*/\\+\u2030\u2031\u00a7\u066a\u0609\u060a]",
        rf"(?<=\d)[{every}](?=\d)",
        rf"(?<!{word})[{dashes}](?=\d)",
        rf"(?<!{word})(?<!\.)\.(?={word})",
        r"(?<=[^\W\d_])'(?=[^\W\d_])",
        "(?<=\\d)[\"'\u2032\u201d]+",
        "!(?==)",
        r"[:;][-']?[()\[\]]",
    ]
    # The look-ahead passes over letters at once, before any alternative is tried.
    return re.compile(rf"(?=[^\w\s]|_)(?:{'|'.join(keep)}|(?P<drop>[{every}]))")


@cache
def _invisible() -> frozenset[str]:
    """Control and format characters that change nothing, and the two emoji style selectors."""
    # Joiners change words (Persian) and emoji, tags tell the flags of countries apart, and number
    # signs of Arabic script are visible though their category is Cf.
    kept = re.compile(
        "[\u200c\u200d\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000e0020-\U000e007f]"
    )
    gone = {char for char in _chars_of("Cc", "Cf") if not kept.match(char)}
    return frozenset(gone | {"\ufe0e", "\ufe0f"})


@cache
def _numerals() -> frozenset[str]:
    """Digits that are no decimal digits: superscripts, fractions, circled numbers."""
    return frozenset(_chars_of("No"))


@cache
def _beside_numeral() -> re.Pattern[str]:
    """Matches between a digit and a superscript, fraction or circled number."""
    other = _char_class("No")
    return re.compile(rf"(?<=[\d{other}])(?=[{other}])|(?<=[{other}])(?=\d)")


def _char_class(*categories: str, last: int = sys.maxunicode) -> str:
    """The inside of a ``[...]`` for Unicode categories, of which ``re`` knows nothing."""
    found = [ord(char) for char in _chars_of(*categories, last=last)]
    starts = [code for before, code in pairwise([-2, *found]) if code != before + 1]
    ends = [code for code, after in pairwise([*found, -2]) if after != code + 1]
    spans = zip(starts, ends, strict=True)
    return "".join(f"{re.escape(chr(a))}-{re.escape(chr(b))}" for a, b in spans)


def _chars_of(*categories: str, last: int = sys.maxunicode) -> list[str]:
    found = _categories(last)
    return [char for char, category in found.items() if category.startswith(categories)]


@cache
def _categories(last: int) -> dict[str, str]:
    # Planes 2 and 3 hold ideographs only, those after 14 are for private use.
    codes = chain(range(min(last + 1, 0x20000)), range(0xE0000, min(last + 1, 0xE1000)))
    return {chr(code): unicodedata.category(chr(code)) for code in codes}
