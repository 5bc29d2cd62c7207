"""How well clusters agree with classes that people gave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sbert_cluster.types import Rows


@dataclass(frozen=True)
class Agreement:
    """Measures of agreement between two partitions; 1 is best for each."""

    ari: float
    """Adjusted Rand index (Hubert & Arabie 1985): 0 for chance."""
    nmi: float
    """Mutual information, divided by the mean of the two entropies."""
    v_measure: float
    """Harmonic mean of homogeneity and completeness (Rosenberg & Hirschberg 2007)."""
    purity: float
    """Share of rows that are of their cluster's most frequent class."""


@dataclass(frozen=True)
class ClusterScores:
    """Clusters against gold classes."""

    rows: int
    """Rows with a gold class."""
    classes: int
    """Gold classes among them."""
    clusters: int
    """Clusters among them."""
    clustered: float
    """Share of them in a cluster."""
    noise_as_singletons: Agreement
    """Each noise row is a cluster of its own."""
    noise_left_out: Agreement | None
    """Rows in a cluster alone; None where there is none."""


def score_clusters(labels: Rows, gold: Rows) -> ClusterScores:
    """Compare clusters with gold classes.

    Args:
        labels: int64[n]: cluster of each row, -1 for noise.
        gold: int64[n]: class of each row, -1 where it has none; such rows are left out.

    Raises:
        ValueError: If the two differ in length, or no row has a class.
    """
    if labels.shape != gold.shape:
        raise ValueError(f"{len(labels)} labels for {len(gold)} gold classes")
    labels, gold = labels[gold >= 0], gold[gold >= 0]
    if not len(gold):
        raise ValueError("no row has a gold class")
    inside = labels >= 0
    alone = labels.copy()
    alone[~inside] = labels.max(initial=-1) + 1 + np.arange((~inside).sum())
    return ClusterScores(
        rows=len(gold),
        classes=len(np.unique(gold)),
        clusters=len(np.unique(labels[inside])),
        clustered=float(inside.mean()),
        noise_as_singletons=_agreement(alone, gold),
        noise_left_out=_agreement(labels[inside], gold[inside]) if inside.any() else None,
    )


def _agreement(labels: Rows, gold: Rows) -> Agreement:
    from sklearn.metrics import (
        adjusted_rand_score,
        normalized_mutual_info_score,
        v_measure_score,
    )

    return Agreement(
        ari=float(adjusted_rand_score(gold, labels)),
        nmi=float(normalized_mutual_info_score(gold, labels)),
        v_measure=float(v_measure_score(gold, labels)),
        purity=purity(labels, gold),
    )


def purity(labels: Rows, gold: Rows) -> float:
    """Share of rows that are of their cluster's most frequent class."""
    _, cluster = np.unique(labels, return_inverse=True)
    classes, of = np.unique(gold, return_inverse=True)
    pairs, counts = np.unique(cluster * len(classes) + of, return_counts=True)
    most = np.zeros(int(cluster.max()) + 1, np.int64)
    np.maximum.at(most, pairs // len(classes), counts)
    return float(most.sum() / len(labels))
