"""Where duplicates are common: what thousands of positives tell that no single pair does.

Some texts have duplicates far more often than others: what everybody asks, everybody asks again. Of
two pairs that look equally alike, the one in such surroundings is more likely a duplicate. Where
labels of pairs that mean the same are plenty, and those of pairs that differ are rare, the first
tell it, even those that training had no time for: the closer a text lies to texts of labelled
positives other than its own, the more common duplicates are around it. That cannot be learned from
the rare negatives; so the trained model is its own teacher, with similarities moved by that much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.evaluation.sts import row_cosines
from sbert_cluster.neighbors.search import Neighbors, find_nearest
from sbert_cluster.progress import Progress, silent
from sbert_cluster.training import objectives
from sbert_cluster.training.examples import Labelled
from sbert_cluster.training.recipe import Kind
from sbert_cluster.training.split import components
from sbert_cluster.training.tasks import Batch
from sbert_cluster.types import Rows, Vectors

if TYPE_CHECKING:
    import torch

FEWEST_TEXTS = 5_000
"""Texts of positives from which on their surroundings tell anything."""
WEIGHT = 1.0
"""How far similarities move: by so much times prevalence less its median. About a third of it
reaches pairs that were not trained on."""
FASTER = 2.0
"""Factor of the learning rate: there is no label to be learned by heart."""
BATCH = 128
"""Near pairs of a step."""
_LOOKED_AT, _NEAR, _NEAREST = 32, 20, 5
"""Neighbors of a text that are looked at; one of so many makes a near pair with it; so many texts
of positives make its surroundings."""

Numbers = NDArray[np.float32]


def is_told_by(labelled: Labelled) -> bool:
    """Whether there are enough positives for it."""
    return int(_positive(labelled).sum()) >= FEWEST_TEXTS


@dataclass(frozen=True)
class Surroundings:
    """Texts, what lies around each, and how common duplicates are there."""

    texts: Rows
    """int64[k], numbers of texts, ascending."""
    vectors: Vectors
    """float32[k, d], unit rows, by the model that is its own teacher."""
    near: Rows
    """int64[k, m], places in ``texts`` of the nearest others."""
    prevalence: Numbers
    """float32[k]: mean similarity to the nearest texts of labelled positives that no chain of
    labels joins to the text; 0 stands for each that is missing among the neighbors looked at."""

    def wanted(self, left: Rows, right: Rows) -> Numbers:
        """What the cosine of near pairs should become, float32[b].

        Args:
            left: int64[b], places in ``texts``.
            right: Likewise.
        """
        moved = (self.prevalence[left] + self.prevalence[right]) / 2 - np.median(self.prevalence)
        made = row_cosines(self.vectors[left], self.vectors[right]) + WEIGHT * moved
        clipped: Numbers = np.clip(made, -0.2, 0.99).astype(np.float32)
        return clipped


def surroundings(
    labelled: Labelled, texts: Rows, vectors: Vectors, progress: Progress = silent
) -> Surroundings:
    """Look around each text.

    Args:
        labelled: What is trained on, with all its positives.
        texts: int64[k], numbers of its texts, ascending.
        vectors: float32[k, d], unit rows: theirs.
        progress: Told the texts done.
    """
    found = find_nearest(vectors, vectors, _LOOKED_AT, same=True, progress=progress)
    component = components(labelled.texts, labelled.sets)[texts]
    told = prevalence(found, component, _positive(labelled)[texts])
    return Surroundings(texts, vectors, found.rows[:, :_NEAR], told)


def prevalence(near: Neighbors, component: Rows, positive: NDArray[np.bool_]) -> Numbers:
    """How common duplicates are around each text: see :attr:`Surroundings.prevalence`.

    Args:
        near: The nearest others of each text.
        component: int64[k]: the same number for texts that a chain of labels joins.
        positive: bool[k]: whether a label says of the text that another means the same.

    Returns:
        float32[k].
    """
    counts = positive[near.rows] & (component[near.rows] != component[:, None])
    similarity = np.where(counts, near.similarity, 0)
    most = -np.sort(-similarity, axis=1)[:, :_NEAREST]
    made: Numbers = (most.sum(axis=1) / _NEAREST).astype(np.float32)
    return made


def _positive(labelled: Labelled) -> NDArray[np.bool_]:
    """bool[texts]: whether a label says of the text that another means the same."""
    made = np.zeros(len(labelled.texts), np.bool_)
    for examples in labelled.sets:
        if examples.kind is Kind.LABELS:
            made[examples.rows[examples.labels > 0.5]] = True
    return made


class PrevalenceTask:
    """Near pairs, whose cosines are moved, while all others of the batch are held.

    Args:
        around: What is learned.
        seed: Of the order, and of the neighbor that makes a pair with each text.
    """

    head: torch.nn.Linear | None = None
    repeats_texts = False
    tiring = float("inf")

    def __init__(self, around: Surroundings, seed: int) -> None:
        self._around, self._seed = around, seed
        self._ordered: tuple[int, Rows] = (-1, np.empty(0, np.int64))
        self.batches = max(1, len(around.texts) // BATCH)
        """Batches of one epoch, in which each text makes one pair."""

    def make_head(self, dimensions: int, device: str) -> None:
        """There are no weights beside the encoder's."""

    def batch(self, number: int) -> Batch:
        """The batch of that number; its labels are the cosines that are wanted."""
        epoch, place = divmod(number, self.batches)
        if self._ordered[0] != epoch:
            random = np.random.default_rng((self._seed, 3, epoch))
            self._ordered = (epoch, random.permutation(len(self._around.texts)))
        left = self._ordered[1][place * BATCH : (place + 1) * BATCH]
        random = np.random.default_rng((self._seed, 4, number))
        near = self._around.near[left]
        right = near[np.arange(len(left)), random.integers(0, near.shape[1], len(left))]
        texts = self._around.texts
        return Batch((texts[left], texts[right]), self._around.wanted(left, right))

    def loss(self, columns: tuple[torch.Tensor, ...], batch: Batch) -> torch.Tensor:
        """See :func:`objectives.all_regression`."""
        import torch

        left, right = (np.searchsorted(self._around.texts, column) for column in batch.columns)
        wanted = self._around.vectors[left] @ self._around.vectors[right].T
        np.fill_diagonal(wanted, batch.labels)
        u, v = columns
        return objectives.all_regression(u, v, torch.from_numpy(wanted).to(u.device))
