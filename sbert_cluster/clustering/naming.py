"""What a cluster is about, in its own words: keywords by class-based TF-IDF."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from sbert_cluster.clustering.stopwords import stop_words
from sbert_cluster.types import Rows

MAX_ROWS = 600
"""Rows of a cluster whose words are counted, evenly spread over it."""
MAX_CHARACTERS = 2_000
"""Of a text whose words are counted."""
KEYWORDS = 8
"""Keywords of a cluster at most."""
NAME_WORDS = 3
"""Keywords in the name of a cluster at most."""

# Scripts without spaces between words: two neighbouring characters stand for a word.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f"
_WORD = re.compile(
    rf"[{_UNSPACED}]+|(?:(?![{_UNSPACED}_])\w)+(?:['\u2019](?:(?![{_UNSPACED}_])\w)+)*"
)
_SENTENCE_END = re.compile(r"[.!?:;\n\"“”(]\s*$")
_KANA = re.compile("[\u3040-\u309f]+")


@dataclass(frozen=True)
class Word:
    """A word or a phrase of two."""

    form: str
    """Case folded; what is counted."""
    surface: str
    """As it stands in the text."""
    is_initial: bool
    """At the start of a sentence, where the capital says nothing."""


@dataclass
class Vocabulary:
    """In how many rows of each cluster a term occurs, and how it is usually written."""

    rows: list[Counter[str]] = field(default_factory=list)
    """Term → rows, one counter a cluster."""
    sizes: list[int] = field(default_factory=list)
    """Rows that were counted, one number a cluster."""
    surfaces: dict[str, Counter[str]] = field(default_factory=dict)
    """Term → ways of writing it."""

    def add(self, texts: Iterable[Sequence[Word]], stops: frozenset[str]) -> None:
        """Count the terms of the next cluster."""
        counted: Counter[str] = Counter()
        size = 0
        for words in texts:
            size += 1
            seen = set()
            for form, surface, weight in _terms(words, stops):
                seen.add(form)
                self.surfaces.setdefault(form, Counter())[surface] += weight
            counted.update(seen)
        self.rows.append(counted)
        self.sizes.append(size)

    def write(self, term: str) -> str:
        """The way in which a term is written most often."""
        ways = self.surfaces.get(term)
        return min(ways, key=lambda way: (-ways[way], way)) if ways else term


@dataclass(frozen=True)
class Name:
    """What a cluster is called."""

    label: str
    """Up to three keywords, for people."""
    keywords: tuple[str, ...]
    """The most telling terms, the best first."""


def name_clusters(texts: Sequence[str], labels: Rows) -> list[Name]:
    """Find the keywords of every cluster and call it by the first of them.

    Class-based TF-IDF (Grootendorst 2022, eq. 3) over the rows that hold a term: its share of the
    cluster's rows, times log(1 + A / f), where f is the sum of its shares over all clusters and A
    the mean sum of shares of a cluster. Phrases of two words count like words. Terms that repeat a
    better one, or a part of it, are left out.

    Args:
        texts: str[n].
        labels: int64[n]; -1 for noise, which is not named.

    Returns:
        One name a cluster; no two labels are the same.
    """
    members = [_spread(np.flatnonzero(labels == k)) for k in range(int(labels.max(initial=-1)) + 1)]
    read = {row: tuple(words_of(texts[row])) for rows in members for row in rows.tolist()}
    stops = stop_words(word.form for words in read.values() for word in words)
    vocabulary = Vocabulary()
    for rows in members:
        vocabulary.add((read[row] for row in rows.tolist()), stops)
    overall = _overall(vocabulary)
    average = sum(overall.values()) / max(len(members), 1)
    names = [_name(vocabulary, k, overall, average) for k in range(len(members))]
    return _told_apart(names)


def words_of(text: str) -> Iterator[Word]:
    """The words of a text; runs of an unspaced script are cut into pairs of characters."""
    text = text[:MAX_CHARACTERS]
    for match in _WORD.finditer(text):
        surface = match[0].replace("\u2019", "'")
        before = text[max(match.start() - 3, 0) : match.start()]
        is_initial = not text[: match.start()].strip() or bool(_SENTENCE_END.search(before))
        if re.match(f"[{_UNSPACED}]", surface):
            for pair in map("".join, pairwise(surface)):
                # Hiragana is mostly grammar.
                if not _KANA.fullmatch(pair):
                    yield Word(pair, pair, is_initial)
        else:
            yield Word(surface.casefold(), surface, is_initial)


def _terms(words: Sequence[Word], stops: frozenset[str]) -> Iterator[tuple[str, str, int]]:
    """Terms as form, surface and how much the surface tells: words, and phrases of two."""
    previous: Word | None = None
    for word in words:
        if not _says_something(word.form, stops):
            previous = None
            continue
        base = word.form.removesuffix("'s")
        # A capital at the start of a sentence is no reason to write a word so.
        surface = word.surface[: len(base)]
        yield base, surface.lower() if word.is_initial else surface, 1 if word.is_initial else 4
        if previous is not None and not re.match(f"[{_UNSPACED}]", word.form):
            start = previous.surface.lower() if previous.is_initial else previous.surface
            yield f"{previous.form} {word.form}", f"{start} {word.surface}", 1
        previous = word


def _says_something(form: str, stops: frozenset[str]) -> bool:
    if form in stops or form.replace("'", "") in stops:
        return False
    return not form.isdecimal() and (len(form) > 2 or not form.isascii() or _has_digit(form))


def _has_digit(form: str) -> bool:
    return len(form) > 1 and any(character.isdigit() for character in form)


def _spread(rows: Rows) -> Rows:
    if len(rows) <= MAX_ROWS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MAX_ROWS).round().astype(np.int64)]


def _overall(vocabulary: Vocabulary) -> dict[str, float]:
    """Sum of each term's shares over the clusters."""
    total: dict[str, float] = {}
    for rows, size in zip(vocabulary.rows, vocabulary.sizes, strict=True):
        for term, count in rows.items():
            total[term] = total.get(term, 0.0) + count / size
    return total


def _name(vocabulary: Vocabulary, cluster: int, overall: dict[str, float], average: float) -> Name:
    rows, size = vocabulary.rows[cluster], vocabulary.sizes[cluster]
    # A word of one or two rows is no topic, unless the cluster is tiny.
    least = min(size // 4 + 1, max(3, round(0.03 * size)))
    scored = {
        term: count / size * float(np.log1p(average / overall[term])) * _favour(term, count, rows)
        for term, count in rows.items()
        if count >= least
    }
    ranked = sorted(scored, key=lambda term: (-scored[term], term))
    chosen: list[str] = []
    for term in ranked[: 12 * KEYWORDS]:
        if not any(_repeats(term, other) for other in chosen):
            chosen.append(term)
        if len(chosen) == KEYWORDS:
            break
    keywords = tuple(vocabulary.write(term) for term in chosen)
    best = [
        word
        for term, word in zip(chosen, keywords, strict=True)
        if scored[term] >= 0.25 * scored[chosen[0]]
    ][:NAME_WORDS]
    label = " · ".join(best)
    # Only the first letter: "iPhone" and "eBay" keep theirs.
    if label and label.split()[0].islower():
        label = label[0].upper() + label[1:]
    return Name(label, keywords)


def _favour(term: str, count: int, rows: Counter[str]) -> float:
    """A phrase that takes up much of its words reads better than they do."""
    if " " not in term:
        return 1.0
    parts = term.split()
    share = count / max(*(rows[part.removesuffix("'s")] for part in parts), 1)
    return 1.6 if share >= 0.4 else 0.6


def _repeats(term: str, other: str) -> bool:
    """Whether two terms share a word or its stem."""
    return any(_same_stem(a, b) for a in term.split() for b in other.split())


def _same_stem(a: str, b: str) -> bool:
    if a == b:
        return True
    short, long = sorted((a, b), key=len)
    if not short.isascii() and len(short) <= 2:
        return bool(set(short) & set(long))
    common = 0
    while common < len(short) and short[common] == long[common]:
        common += 1
    return common >= 3 and common >= len(short) - 2 and common >= 0.6 * len(long)


def _told_apart(names: list[Name]) -> list[Name]:
    """The names with a further keyword, or a number, where two would be the same."""
    taken: set[str] = set()
    result = []
    for number, name in enumerate(names):
        label = name.label or f"Cluster {number}"
        further = iter(name.keywords[NAME_WORDS:])
        while label in taken:
            word = next(further, None)
            label = f"{label} · {word}" if word else f"{label} ({number})"
        taken.add(label)
        result.append(Name(label, name.keywords))
    return result
