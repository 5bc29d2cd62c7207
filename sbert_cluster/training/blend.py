"""A cross-encoder's answer weighed with the similarity of vectors: two judges err differently."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

_EDGE = 1e-6
"""Probabilities are kept so far from 0 and 1 before their logarithm is taken."""
EVEN = 0.5
"""Probability from which it is a yes. Both labels weigh alike in the fit, so they do here: where
hardly any held-out rows differ, the best F1 among them would ask for far less."""
FEWEST_ROWS = 100
"""Rows from which on weights are fitted."""


@dataclass(frozen=True)
class Blend:
    """Weights of a logistic regression on two numbers.

    They hold for the encoder whose similarities they were fitted on, and for no other.
    """

    model: str
    """sha256 of that encoder's weights."""
    similarity: float
    answer: float
    """Of the logit of the cross-encoder's probability."""
    bias: float

    def __call__(self, similarity: Numbers, answer: Numbers) -> Numbers:
        """The probability that texts mean the same.

        Args:
            similarity: float64[k], cosines.
            answer: float64[k], the cross-encoder's probabilities.

        Returns:
            float64[k].
        """
        both = self.similarity * similarity + self.answer * logits(answer) + self.bias
        made: Numbers = 1 / (1 + np.exp(-both))
        return made

    def to_dict(self) -> dict[str, Any]:
        """For ``sbert_cluster.json``."""
        return asdict(self)


def logits(probability: Numbers) -> Numbers:
    """log(p / (1 − p)), finite."""
    inside = np.clip(probability, _EDGE, 1 - _EDGE)
    made: Numbers = np.log(inside / (1 - inside))
    return made


def fit_blend(
    model: str, similarity: Numbers, answer: Numbers, truth: NDArray[np.bool_]
) -> Blend | None:
    """Fit the weights on rows that neither judge has learned from, both labels alike.

    Args:
        model: sha256 of the encoder.
        similarity: float64[k].
        answer: float64[k], probabilities.
        truth: bool[k].

    Returns:
        None: too few rows, or one label only.
    """
    if len(truth) < FEWEST_ROWS or truth.all() or not truth.any():
        return None
    from sklearn.linear_model import LogisticRegression

    both = np.column_stack([similarity, logits(answer)])
    # Cosines span a tenth of what logits do: without a scale the penalty would fall on them alone.
    spread = both.std(axis=0) + 1e-9
    fitted = LogisticRegression(class_weight="balanced").fit(both / spread, truth)
    weights = fitted.coef_[0] / spread
    return Blend(model, float(weights[0]), float(weights[1]), float(fitted.intercept_[0]))
