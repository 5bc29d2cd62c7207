"""A static student of an encoder: token vectors whose average comes near the teacher's vector.

It starts from the teacher's vector of each token alone, centred and weighted by frequency (Arora et
al. 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", equation 3: a / (a + p)).
From there, texts whose teacher's vectors are known bring it nearer in one of two ways: a linear map
of all token vectors takes a tenth of a second and a few thousand texts, and training each token's
vector takes minutes and a hundred thousand.

What training is for is finding pairs that the teacher finds similar, so its loss looks at the top:
pairs that the teacher holds similar, which must stay so, and pairs that the student holds similar,
most of which must not. Random pairs, nearly all that there are, say little about either. A similar
pair that is seen too low is lost, and costs most; a row is read for nothing where one other row is
seen too high, so the student's own pairs are drawn by their rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.encoder.bags import Bags
from sbert_cluster.encoder.static import averages, sums
from sbert_cluster.neighbors.forecast import forecast_pairs
from sbert_cluster.neighbors.join import find_pairs
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Pairs, Rows, Vectors

if TYPE_CHECKING:
    import torch

SMOOTHING = 1e-3
"""The a of a / (a + p): tokens more frequent than that count less."""
SMOOTHING_TO_MAP = 4e-3
"""The same for a table that is mapped then, which is better so; one that is trained gets worse."""
_PAIRS = 512
"""Pairs in a step."""
_MIXED = 512
"""Random texts in a step, of which all pairs are looked at as well."""
_LOOKS = 3
"""Times that the student's own pairs are looked up anew."""
_MOST_PAIRS = 4_000_000
"""Pairs that are looked up at most; beyond, the cut is raised."""
_CUTS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Similarities from which a pair is one to keep for the teacher, or the student's own: the lowest
that does not bring too many."""
_CLOSE = 0.3
"""Pairs of random texts below this similarity weigh nothing extra."""
_PAIR_WEIGHT, _EXTRA_WEIGHT = 10.0, 20.0
_BETWEEN = 0.2
"""How far above the lowest of the pairs to keep one is that must be kept."""
_HARMLESS, _LOST = 0.2, 3.0
"""Weights of holding a dissimilar and a similar pair for less than it is; for more: 1."""
_FAVOUR = 6.0
"""A pair of similarity s is drawn in proportion to exp(6 s)."""
_WARM_UP = 10
_RIDGE = 0.1
"""Of the mean eigenvalue: how much a linear map is held back."""
_TINY = 1e-12
"""Keeps it defined where no text has a token."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a student is trained."""

    steps: int = 300
    """Steps of Adam; 0: the table stays as it is made from the vocabulary."""
    rate: float = 2e-3
    """Learning rate at its height; it falls linearly to 0."""
    seed: int = 0
    """Of the batches."""


def first_table(
    vocabulary: Vectors, counts: NDArray[np.int64] | None = None, smoothing: float = SMOOTHING
) -> Vectors:
    """Token vectors before any training.

    Args:
        vocabulary: float32[v, d], the teacher's vector of each token alone.
        counts: int64[v], how often each token occurs; None: as often as Zipf's law says, with
            tokens in the order of their frequency, as most vocabularies are.
        smoothing: The a of a / (a + p), p a token's share.

    Returns:
        float32[v, d]: centred and weighted.
    """
    if counts is None or not counts.any():
        share = 1 / np.arange(1, len(vocabulary) + 1)
    else:
        share = counts.astype(np.float64)
    share = share / share.sum()
    centred = vocabulary - vocabulary.mean(axis=0, dtype=np.float64)
    table: Vectors = (centred * (smoothing / (smoothing + share))[:, None]).astype(np.float32)
    return table


def mapped_table(table: Vectors, bags: Bags, targets: Vectors, dimensions: int) -> Vectors:
    """Map token vectors linearly, so that the averages of texts come near a teacher's vectors.

    The map is that of ridge regression. It maps to the first principal directions of the teacher's
    vectors, about the origin, since it is their cosines that count.

    Args:
        table: float32[v, d], as :func:`first_table` makes it.
        bags: n texts.
        targets: float32[n, e], the teacher's unit vectors of them.
        dimensions: k, of the token vectors that are made; at most e are.

    Returns:
        float32[v, k].
    """
    made = averages(table, bags).astype(np.float64)
    goal = targets.astype(np.float64)
    # Eigenvectors are in the order of rising eigenvalues.
    goal = goal @ np.linalg.eigh(goal.T @ goal)[1][:, ::-1][:, :dimensions]
    moments = made.T @ made
    moments[np.diag_indices_from(moments)] += _RIDGE * np.trace(moments) / len(moments) + _TINY
    mapped: Vectors = table @ np.linalg.solve(moments, made.T @ goal).astype(np.float32)
    return mapped


def train_table(
    table: Vectors,
    bags: Bags,
    targets: Vectors,
    recipe: Recipe,
    progress: Progress = silent,
) -> Vectors:
    """Train token vectors towards a teacher.

    Args:
        table: float32[v, d], where to start.
        bags: n texts.
        targets: float32[n, d], the teacher's unit vectors of them.
        recipe: How.
        progress: Told the steps done.

    Returns:
        float32[v, d]; tokens that occur in none of the texts stay as they were.
    """
    if recipe.steps == 0 or len(bags) < 2:
        return table
    course = _Course(table, bags, targets, recipe)
    for step in range(recipe.steps):
        course.step(step)
        progress("training", step + 1, recipe.steps, "steps")
    return course.table()


class _Course:
    """One training. Only the tokens that occur are held, so that Adam has less to do."""

    def __init__(self, table: Vectors, bags: Bags, targets: Vectors, recipe: Recipe) -> None:
        import torch

        self._whole, self._recipe = table, recipe
        self._used, numbers = np.unique(bags.numbers, return_inverse=True)
        self._bags = Bags(numbers.astype(np.int32), bags.starts)
        self._targets = torch.from_numpy(targets)
        self._weights = torch.nn.Parameter(torch.from_numpy(table[self._used]))
        # Fused: one pass over all weights, and there is little else to do in a step.
        self._adam = torch.optim.Adam(
            [self._weights], lr=recipe.rate, betas=(0.9, 0.99), fused=True
        )
        self._random = np.random.default_rng(recipe.seed)
        self._similar = _similar(targets, recipe.seed)
        self._own = self._similar
        self._between = max(1, recipe.steps // _LOOKS)

    def step(self, number: int) -> None:
        """One step of Adam."""
        if number % self._between == 0:
            self._own = _own(self._averages(), self._recipe.seed)
        rate = self._recipe.rate * min(1, (number + 1) / _WARM_UP)
        for group in self._adam.param_groups:
            group["lr"] = rate * (1 - number / self._recipe.steps)
        loss = self._loss(*self._draw())
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()

    def table(self) -> Vectors:
        """All token vectors."""
        made = self._whole.copy()
        made[self._used] = self._weights.detach().numpy()
        return made

    def _averages(self) -> Vectors:
        return averages(self._weights.detach().numpy(), self._bags)

    def _draw(self) -> tuple[Rows, Rows, Rows]:
        """Left and right ends of pairs, and texts at random."""
        urns = self._similar, self._own
        pairs = np.concatenate([urn.draw(_PAIRS // 2, self._random) for urn in urns])
        return pairs[:, 0], pairs[:, 1], self._random.integers(0, len(self._bags), _MIXED)

    def _loss(self, left: Rows, right: Rows, mixed: Rows) -> torch.Tensor:
        """Squared error of similarities, of the drawn pairs and of all pairs, and the angle."""
        import torch

        rows, count = np.concatenate([left, right, mixed]), len(left)
        made = torch.nn.functional.normalize(sums(self._weights, self._bags.take(rows)), dim=-1)
        target = self._targets[torch.from_numpy(rows)]
        angle = (1 - (made * target).sum(1)).mean()
        ours = (made[:count] * made[count : 2 * count]).sum(1)
        theirs = (target[:count] * target[count : 2 * count]).sum(1)
        drawn = _error(ours, theirs).mean() if count else angle.new_zeros(())
        # Every other row, so that pairs of pairs are among them.
        all_ours, all_theirs = made[::2] @ made[::2].T, target[::2] @ target[::2].T
        close = torch.maximum(all_ours.detach(), all_theirs).sub(_CLOSE).clamp(min=0)
        mixed_loss = (_error(all_ours, all_theirs) * (1 + _EXTRA_WEIGHT * close)).mean()
        return _PAIR_WEIGHT * drawn + mixed_loss + angle


def _error(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Squared error of similarities, each weighted by what it costs.

    A similar pair that the student holds for dissimilar is lost; a dissimilar pair that it holds
    for even less similar costs nothing in itself.
    """
    import torch

    error = ours - theirs
    similar = ((theirs - _CUTS[0]) / _BETWEEN).clamp(0, 1)
    below = _HARMLESS + (_LOST - _HARMLESS) * similar
    return error**2 * torch.where(error.detach() < 0, below, 1.0)


class _Urn:
    """Pairs to draw from, with replacement.

    Args:
        pairs: Any number.
        weights: float64[pairs], how likely each is; they need not sum to 1.
    """

    def __init__(self, pairs: Pairs, weights: NDArray[np.float64]) -> None:
        self._ends = np.stack([pairs.left, pairs.right], axis=1)
        self._edges = np.cumsum(weights)

    def draw(self, count: int, random: np.random.Generator) -> Rows:
        """int64[count, 2]; none if there are none."""
        if not len(self._ends):
            return self._ends
        places = np.searchsorted(self._edges, random.random(count) * self._edges[-1], "right")
        drawn: Rows = self._ends[np.minimum(places, len(self._ends) - 1)]
        return drawn


def _similar(targets: Vectors, seed: int) -> _Urn:
    """The teacher's pairs; the more similar, the rarer they are and the more they matter."""
    found = _pairs(targets, seed)
    return _Urn(found, np.exp(_FAVOUR * found.similarity.astype(np.float64)))


def _own(vectors: Vectors, seed: int) -> _Urn:
    """The student's pairs, drawn by their rows: a few dense groups hold most of all pairs."""
    found = _pairs(vectors, seed)
    degree = np.bincount(np.concatenate([found.left, found.right]), minlength=len(vectors))
    return _Urn(found, 1 / degree[found.left] + 1 / degree[found.right])


def _pairs(vectors: Vectors, seed: int) -> Pairs:
    """Pairs at or above the lowest similarity that does not bring too many."""
    bearable = (cut for cut in _CUTS if forecast_pairs(vectors, cut, seed=seed).high <= _MOST_PAIRS)
    return find_pairs(vectors, next(bearable, _CUTS[-1])).pairs.ordered()
