"""One number for how good vectors are on held-out examples, of whatever kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.evaluation.pairs import Truth, balanced_average_precision, score_pairs
from sbert_cluster.evaluation.sts import row_cosines, score_sts
from sbert_cluster.evaluation.triplets import score_triplets
from sbert_cluster.training.columns import NLI_CLASSES
from sbert_cluster.training.examples import Examples, Labelled
from sbert_cluster.training.recipe import Kind
from sbert_cluster.training.split import meanings
from sbert_cluster.types import Rows, Vectors

Encode = Callable[[Rows], Vectors]
"""Numbers of texts → unit vectors, float32[k, d]."""


@dataclass(frozen=True)
class Judgement:
    """A measure and its value, the higher, the better."""

    measure: str
    value: float


def judge(examples: Examples, encode: Encode) -> Judgement | None:
    """Judge vectors by held-out examples, in one number.

    Args:
        examples: What people said.
        encode: Gives the vectors.

    Returns:
        None: these examples cannot judge (texts alone, or labels that are all the same).
    """
    if examples.kind is Kind.TEXTS or len(examples) < 2:
        return None
    columns = columns_of(examples, encode)
    if examples.kind is Kind.LABELS:
        truth: Truth = examples.labels > 0.5
        if truth.all() or not truth.any():
            return None
        cosine = row_cosines(columns[0], columns[1])
        return Judgement("balanced average precision", balanced_average_precision(cosine, truth))
    name, value = next(iter(measures(examples, columns).items()))
    return Judgement(name, value)


def columns_of(examples: Examples, encode: Encode) -> list[Vectors]:
    """Vectors of each column of texts; each text is encoded once. Shapes: (n, d)."""
    numbers, places = np.unique(np.maximum(examples.rows, 0), return_inverse=True)
    vectors = encode(numbers)
    return [vectors[column] for column in places.reshape(examples.rows.shape).T]


def among_all(
    labelled: Labelled, examples: Examples, encode: Encode
) -> tuple[NDArray[np.float64], Truth]:
    """Every pair of the labelled texts, those that no label joins taken as different.

    Labelled pairs are mostly close calls, half of them the same; among all pairs of a file the
    different ones are thousands of times as many. A threshold for a file has to be found among
    such pairs.

    Args:
        labelled: All texts.
        examples: Pairs with 0 and 1; at most :data:`_MOST_TEXTS` of their texts are looked at.
        encode: Gives the vectors.

    Returns:
        Similarity, and whether the labels' closure joins the pair; of the pairs that it does not
        join, the :data:`_MOST_APART` most similar ones, since the others are below any threshold.
    """
    numbers = np.unique(examples.rows)[:_MOST_TEXTS]
    vectors = encode(numbers).astype(np.float64)
    meaning = meanings(labelled.texts, [examples])[numbers]
    i, j = np.triu_indices(len(numbers), 1)
    scores, truth = (vectors @ vectors.T)[i, j], meaning[i] == meaning[j]
    apart = np.sort(scores[~truth])[::-1][:_MOST_APART]
    scores = np.concatenate([scores[truth], apart])
    return scores, np.arange(len(scores)) < int(truth.sum())


_MOST_TEXTS, _MOST_APART = 3_000, 20_000


def measures(examples: Examples, columns: Sequence[Vectors]) -> dict[str, float]:
    """All measures for a kind of examples, the main one first.

    Args:
        examples: What people said; not texts alone.
        columns: Vectors of each column.

    Raises:
        InputError: If the labels are all the same.
    """
    if examples.kind is Kind.TRIPLETS:
        triplets = score_triplets(*columns)
        return {"accuracy": triplets.accuracy, "accuracy_euclidean": triplets.accuracy_euclidean}
    if examples.kind is Kind.POSITIVES:
        return {"found_first": _found_first(columns[0], columns[1])}
    if examples.kind is Kind.LABELS:
        pairs = score_pairs(row_cosines(columns[0], columns[1]), examples.labels > 0.5).to_dict()
        return {name: pairs[name] for name in _PAIR_MEASURES}
    # Entailment is nearer than neutral, and neutral nearer than contradiction.
    is_nli = examples.kind is Kind.NLI
    wanted = len(NLI_CLASSES) - examples.labels if is_nli else examples.labels
    scores = score_sts(columns[0], columns[1], wanted).to_dict()
    return {name: value for name, value in scores.items() if name != "pairs"}


_PAIR_MEASURES = ("average_precision", "best_f1", "best_threshold", "precision", "recall")


def _found_first(left: Vectors, right: Vectors) -> float:
    """Share of rows whose right text is the nearest of all right texts."""
    return float(((left @ right.T).argmax(axis=1) == np.arange(len(left))).mean())


def mean_judgement(labelled: Labelled, encode: Encode) -> float | None:
    """The mean over all files that can judge; None: none of them can."""
    made = [judge(examples, encode) for examples in labelled.sets]
    values = [one.value for one in made if one is not None]
    return float(np.mean(values)) if values else None
