"""The numbers and sentences that the terminal and the page have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from sbert_cluster.report.escape import visible
from sbert_cluster.types import Corpus, DedupResult, Reason, Rows


@dataclass(frozen=True)
class GroupView:
    """One group as people look at it: a row that stays, and those it stands for."""

    kept: int
    """Row that stays; a row of the reference when there is one."""
    removed: Rows
    """Rows of the input, least similar first: where a mistake would be."""
    lowest: float
    """Lowest similarity of any two rows inside the group."""


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 row``, ``1,184 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(part: int, whole: int) -> str:
    """A share in whole percent; what is little or nearly all is not rounded to none or all."""
    share = round(100 * part / whole)
    if share == 0 and part:
        return "<1%"
    return ">99%" if share == 100 and part < whole else f"{share}%"


def similarity(value: float) -> str:
    """Three decimals; what is not quite 1 is never shown as 1."""
    shown = f"{value:.3f}"
    return "0.999" if shown == "1.000" and value < 1 - 1e-6 else shown


def duration(seconds: float) -> str:
    """A time as people say it: ``20 ms``, ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 07 min``."""
    if seconds < 0.0995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return (
        f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
    )


def file_name(corpus: Corpus | None, missing: str = "the input") -> str:
    """What to call a corpus in a sentence: its file's name, or how many files there are."""
    names = [PurePath(source.path).name for source in corpus.sources] if corpus is not None else []
    if not names:
        return missing
    if len(names) > 2:
        return f"{names[0]} and {len(names) - 1} more files"
    return " and ".join("standard input" if name == "-" else name for name in names)


def other_name(result: DedupResult) -> str:
    """What to call the file of ``--against``; empty without one."""
    return "" if result.reference is None else file_name(result.reference, "the other file")


def identity(corpus: Corpus, row: int, length: int = 80) -> str | None:
    """What the id column calls a row, cut to ``length``; None where there is no id."""
    if corpus.id_column is None:
        return None
    value = corpus.frame[corpus.id_column][row]
    return None if value is None else str(value)[:length]


def row_name(corpus: Corpus, row: int) -> str:
    """A row's id where it has one, else its number, counted from 0 as in the files."""
    return identity(corpus, row) or f"row {row:,}"


def threshold(result: DedupResult) -> float | None:
    """The threshold of the run, if the manifest tells it."""
    value = result.manifest.arguments.get("threshold")
    return float(value) if isinstance(value, int | float) else None


def removed_by_reason(result: DedupResult) -> dict[Reason, int]:
    """How many rows each rung of the ladder removed; rungs that removed none are left out."""
    reasons = result.groups.reason[~result.groups.kept]
    counts = np.bincount(reasons, minlength=len(Reason))
    return {reason: int(counts[reason]) for reason in Reason if counts[reason]}


def views(result: DedupResult) -> Iterator[GroupView]:
    """The groups, largest first."""
    groups = result.groups
    rows = np.flatnonzero(~groups.kept & (groups.group >= 0))
    order = np.lexsort((rows, groups.similarity[rows], groups.group[rows]))
    rows = rows[order]
    starts = np.flatnonzero(np.diff(groups.group[rows], prepend=-1))
    for removed in np.split(rows, starts[1:]) if len(rows) else ():
        number = int(groups.group[removed[0]])
        yield GroupView(
            kept=int(groups.duplicate_of[removed[0]]),
            removed=removed,
            lowest=float(groups.lowest_similarity[number]),
        )


def certificate(result: DedupResult) -> str:
    """What the comparison looked at, in a sentence or two that can be relied on."""
    search = result.manifest.search
    possible = int(search.get("pairs_possible", 0))
    if possible == 0:
        return "There were no two distinct texts to compare."
    looked = _exhaustive(result, possible) if search.get("exhaustive") else _approximate(search)
    return looked + _borderline(int(search.get("borderline", 0)), threshold(result))


def _exhaustive(result: DedupResult, possible: int) -> str:
    pairs = "The one pair" if possible == 1 else f"Every one of {possible:,} pairs"
    if result.reference is None:
        return f"{pairs} of distinct texts was compared"
    ours, theirs = visible(file_name(result.corpus)), visible(other_name(result))
    return f"{pairs} of a text in {ours} and a text in {theirs} was compared"


def _approximate(search: dict[str, object]) -> str:
    compared, possible = search.get("pairs_compared", 0), search.get("pairs_possible", 0)
    said = f"The search was approximate: {compared:,} of {possible:,} pairs were compared"
    recall = search.get("recall")
    if isinstance(recall, Sequence) and len(recall) == 3:
        share, low, high = (f"{100 * float(part):.1f} %" for part in recall)
        said += f"; measured recall {share} (95 % interval {low} to {high})"
    return said


def _borderline(pairs: int, limit: float | None) -> str:
    if not pairs:
        return "."
    line = "the threshold" if limit is None else f"the threshold of {limit:g}"
    verb = "lies" if pairs == 1 else "lie"
    return f"; {count(pairs, 'pair')} {verb} within 0.0005 of {line}."


def warnings(result: DedupResult) -> list[str]:
    """What the reader should know before trusting the result."""
    counts, said = result.manifest.counts, []
    if truncated := counts.get("truncated", 0):
        length = result.manifest.model.get("max_seq_length")
        limit = f" ({length} tokens)" if length else ""
        were = "text is" if truncated == 1 else "texts are"
        said.append(
            f"{truncated:,} {were} longer than the model reads{limit}: the rest was not seen."
        )
    if empty := counts.get("empty", 0):
        verb = "is" if empty == 1 else "are"
        said.append(f"{count(empty, 'row')} {verb} empty: kept, and compared with nothing.")
    return said
