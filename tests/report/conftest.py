"""Small results, made by hand, that the reports are made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest

from sbert_cluster.options import FileFormat
from sbert_cluster.types import (
    Corpus,
    DedupResult,
    DuplicateGroups,
    Histogram,
    Layout,
    Pairs,
    Reason,
    RunManifest,
    SourceFile,
)

Families = Sequence[tuple[str, Sequence[str]]]
MakeResult = Callable[..., DedupResult]

HOSTILE = (
    ("</script><script>document.title='pwned'</script>", ["<!--<script>alert(1)</script>"]),
    ("<img src=x onerror=\"document.title='pwned'\">", ["&lt;b&gt; ]]> </style>"]),
    ("red \x1b[31m \x1b]0;owned\x07 \x9b31m", ["[bold]markup[/bold] \x1b[2J"]),
    ("pay \u202e000,1\u202c EUR", ["pay \u2066000,1\u2069 EUR \u200f"]),
    ("half \ud800 a pair", ["line \u2028 and \u2029 paragraph"]),
    ("パスワードを忘れました。", ["パスワードを忘れてしまいました。👩‍💻"]),
    ("كلمة المرور", ["كلمة السر", "كلمة المرور"]),
)


@pytest.fixture
def make_result() -> MakeResult:
    """A function that makes a result from texts: kept ones, each with those it stands for."""
    return _make_result


def _make_result(
    families: Families = HOSTILE,
    *,
    others: Sequence[str] = ("nothing like the rest", ""),
    against: bool = False,
    with_ids: bool = False,
    name: str = "desk.csv",
) -> DedupResult:
    families = sorted(families, key=lambda family: -len(family[1]))
    kept_texts = [kept for kept, _ in families]
    first = [] if against else kept_texts
    removed = [(text, g) for g, (_, texts) in enumerate(families) for text in texts]
    texts = [*first, *(text for text, _ in removed), *others]
    start = len(first)
    groups = _groups(texts, kept_texts, removed, start, with_kept=not against)
    ids = pl.Series("id", [f"T-{row}" for row in range(len(texts))], dtype=pl.String)
    corpus = Corpus(
        pl.DataFrame([ids]),
        text_columns=("text",),
        id_column="id" if with_ids else None,
        sources=(SourceFile(f"data/{name}", "ab" * 32, len(texts)),),
        layout=Layout(FileFormat.CSV),
    )
    reference = Corpus(
        pl.DataFrame({"text": range(len(kept_texts))}),
        text_columns=("text",),
        sources=(SourceFile("train.csv", "cd" * 32, len(kept_texts)),),
    )
    return DedupResult(
        corpus,
        texts,
        Pairs.empty(),
        groups,
        Histogram(np.linspace(0, 1, 51), np.arange(50) % 7, int((np.arange(50) % 7).sum())),
        _manifest(texts, groups),
        reference if against else None,
        kept_texts if against else None,
    )


def _groups(
    texts: list[str],
    kept_texts: list[str],
    removed: list[tuple[str, int]],
    start: int,
    *,
    with_kept: bool,
) -> DuplicateGroups:
    n, rows = len(texts), slice(start, start + len(removed))
    kept, duplicate_of = np.ones(n, np.bool_), np.full(n, -1, np.int64)
    group, similarity = np.full(n, -1, np.int64), np.full(n, np.nan, np.float32)
    reason = np.zeros(n, np.uint8)
    number = np.array([g for _, g in removed], np.int64)
    same = np.array([text == kept_texts[g] for text, g in removed], np.bool_)
    kept[rows], group[rows], duplicate_of[rows] = False, number, number
    similarity[rows] = np.where(same, 1, 0.9 + 0.09 * np.arange(len(removed)) / (len(removed) + 1))
    reason[rows] = np.where(same, Reason.EXACT, Reason.SEMANTIC)
    if with_kept:
        group[: len(kept_texts)] = np.arange(len(kept_texts))
    lowest = np.ones(len(kept_texts), np.float32)
    np.minimum.at(lowest, number, similarity[rows])
    return DuplicateGroups(kept, duplicate_of, similarity, reason, group, lowest)


def _manifest(texts: list[str], groups: DuplicateGroups) -> RunManifest:
    removed = int((~groups.kept).sum())
    possible = len(texts) * (len(texts) - 1) // 2
    return RunManifest(
        command="dedup",
        arguments={"threshold": 0.9, "keep": "first", "grouping": "direct", "overwrite": False},
        input={
            "files": [{"path": "data/desk.csv", "sha256": "ab" * 32, "rows": len(texts)}],
            "rows": len(texts),
        },
        model={"name": "a-model", "sha256": "cd" * 32, "dimensions": 384, "max_seq_length": 256},
        device="cpu",
        precision="fp32",
        counts={
            "rows": len(texts),
            "empty": texts.count(""),
            "exact_duplicates": 0,
            "pairs": removed,
            "groups": groups.count,
            "kept": len(texts) - removed,
            "removed": removed,
            "truncated": 2,
        },
        search={
            "exhaustive": True,
            "pairs_possible": possible,
            "pairs_compared": possible,
            "borderline": 3,
        },
        timings_s={"read": 0.01, "encode": 1.5, "compare": 0.1, "write": 0.2, "total": 1.9},
        peak_memory_bytes=512 * 2**20,
        versions={"sbert-cluster": "0.1.0", "python": "3.11.9"},
        notes=("The delimiter is ';' \x1b[31m.",),
    )
