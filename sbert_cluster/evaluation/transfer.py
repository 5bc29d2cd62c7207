"""Vectors as features of a classifier (section 5 of the paper, after SentEval).

Logistic regression on frozen vectors, 10-fold cross-validation, or train and test where the data
are divided. Its strength of regularisation is chosen on a tenth of the rows trained on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.errors import InputError
from sbert_cluster.progress import Progress, silent

Features = NDArray[np.float32]
Classes = NDArray[np.int64]

_STRENGTHS = (1.0, 8.0, 64.0)
"""Inverse strengths of regularisation that are tried; vectors are of norm 1, so they are large."""
_MOST_ITERATIONS = 300


@dataclass(frozen=True)
class TransferScores:
    """How often the classifier is right."""

    rows: int
    """Rows judged."""
    classes: int
    accuracy: float
    """Share of rows that are classified rightly."""
    deviation: float
    """Standard deviation over the folds; 0 for a single test set."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-ready dict."""
        return asdict(self)


def of_pairs(left: Features, right: Features) -> Features:
    """Features of a pair: |u − v| and u * v (Conneau & Kiela 2018, section 2). Shape: (n, 2 d)."""
    return np.hstack([np.abs(left - right), left * right])


def cross_validated(
    features: Features,
    classes: Classes,
    *,
    folds: int = 10,
    seed: int = 0,
    progress: Progress = silent,
) -> TransferScores:
    """Accuracy by stratified cross-validation.

    Args:
        features: Shape: (n, d).
        classes: Shape: (n,).
        folds: How many.
        seed: Of the folds.
        progress: Told the folds done.

    Raises:
        InputError: If a class has fewer rows than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold

    _, counts = np.unique(classes, return_counts=True)
    if len(counts) < 2 or counts.min() < folds:
        raise InputError(
            f"the smallest of {len(counts)} classes has {counts.min()} rows, for {folds} folds",
            "Leave rare classes out, or use fewer --folds.",
        )
    made = []
    cut = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for number, (train, test) in enumerate(cut.split(features, classes)):
        made.append(_accuracy(features, classes, train, test, seed))
        progress("classifying", number + 1, folds, "folds")
    return TransferScores(len(classes), len(counts), float(np.mean(made)), float(np.std(made)))


def train_and_test(
    features: Features, classes: Classes, is_test: NDArray[np.bool_], *, seed: int = 0
) -> TransferScores:
    """Accuracy on the rows marked as test. Shapes: (n, d), (n,) and (n,)."""
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    accuracy = _accuracy(features, classes, train, test, seed)
    return TransferScores(len(test), len(np.unique(classes)), accuracy, 0.0)


def _accuracy(
    features: Features,
    classes: Classes,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    seed: int,
) -> float:
    order = np.random.default_rng(seed).permutation(train)
    held, rest = order[: len(order) // 10], order[len(order) // 10 :]
    if len(np.unique(classes[rest])) < 2 or not len(held):
        held, rest = train, train
    scores = [_fitted(features, classes, rest, strength).score(features[held], classes[held])
              for strength in _STRENGTHS]  # fmt: skip
    best = _fitted(features, classes, train, _STRENGTHS[int(np.argmax(scores))])
    return float(best.score(features[test], classes[test]))


def _fitted(features: Features, classes: Classes, rows: NDArray[np.int64], strength: float) -> Any:
    import warnings

    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # A few iterations more would not change what is classified.
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=strength, max_iter=_MOST_ITERATIONS)
        return model.fit(features[rows], classes[rows])
