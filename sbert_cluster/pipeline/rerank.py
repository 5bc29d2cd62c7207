"""Pairs close to the threshold, decided by a cross-encoder."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sbert_cluster.duplicates.ladder import Units
from sbert_cluster.duplicates.rerank import Band, decided
from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.errors import UsageError
from sbert_cluster.options import DedupOptions, EncodeOptions
from sbert_cluster.progress import Progress
from sbert_cluster.training.blend import EVEN
from sbert_cluster.types import Pairs


@dataclass(frozen=True)
class Asked:
    """Pairs after the judge was heard."""

    pairs: Pairs
    counts: dict[str, int] = field(default_factory=dict)
    """``reranked_asked``, ``reranked_turned``; empty where nobody was asked."""


def check_rerank(decide: DedupOptions, *, has_texts: bool) -> None:
    """Check, before any work is done, that there is something to ask about.

    Raises:
        UsageError: If there are no texts, or rows are compared with another file.
    """
    if decide.rerank and not has_texts:
        raise UsageError(
            "--rerank reads texts of one input, so it does not go with --against or "
            "--vector-column",
            "Leave one of them out.",
        )


def ask_about(
    pairs: Pairs,
    units: Units,
    texts: list[str],
    decide: DedupOptions,
    encode: EncodeOptions,
    progress: Progress,
) -> Asked:
    """Let a cross-encoder decide the pairs in the band, where one is given.

    Args:
        pairs: Pairs of units from the low end of the band on, each with its reason.
        units: What they are between.
        texts: str[rows].
        decide: Names the cross-encoder and the band.
        encode: Device.
        progress: Told the pairs asked about.

    Raises:
        ModelError: If the cross-encoder cannot be loaded.
    """
    if not decide.rerank:
        return Asked(pairs)
    from sbert_cluster.training.reranker import Reranker

    judge = Reranker.open(decide.rerank, encode.device)
    asked = Band(*decide.asked_band).undecided(pairs)
    rows = zip(
        units.first[pairs.left[asked]].tolist(),
        units.first[pairs.right[asked]].tolist(),
        strict=True,
    )
    answer = judge.score([(texts[i], texts[j]) for i, j in rows], progress).astype(np.float64)
    blend = judge.blend_with(open_checkpoint(encode.model).fingerprint.sha256)
    yes_from = judge.yes_from
    if blend:
        answer = blend(pairs.similarity[asked].astype(np.float64), answer)
        yes_from = EVEN
    yes = np.zeros(len(pairs), np.bool_)
    yes[asked] = answer >= yes_from
    # Turned: what the similarity alone would have decided the other way.
    turned = asked & (yes != (pairs.similarity >= decide.threshold))
    counts = {"reranked_asked": int(asked.sum()), "reranked_turned": int(turned.sum())}
    return Asked(decided(pairs, asked, yes), counts)


def said_asked(counts: dict[str, int]) -> str:
    """For people."""
    return (
        f"the cross-encoder was asked about {counts['reranked_asked']:,} pairs and turned "
        f"{counts['reranked_turned']:,}"
    )
