"""A file of examples as something to train on: batches of texts, and the loss of their vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.training import objectives
from sbert_cluster.training.columns import NLI_CLASSES
from sbert_cluster.training.examples import Examples
from sbert_cluster.training.negatives import Negatives
from sbert_cluster.training.recipe import Kind, Objective, Recipe
from sbert_cluster.types import Rows, Vectors

if TYPE_CHECKING:
    import torch

_WINDOW = 32
"""Batches that are cut from rows of like length: little padding, and still much chance."""
_USUAL = 16
"""Rows of a batch, as in the paper."""
_IN_BATCH = 64
"""Rows of a batch where rows are each other's negatives, and there are many; half of it where
there are labelled negatives, too, which teach more."""
_BESIDE = 3
"""Labelled negatives that go beside each positive, where there are enough. They are people's word
on close calls: 96 of them beside 32 positives gave Quora questions an average precision of .820,
64 beside 64 one of .815, in a quarter of the time."""
MOST_PASSES = 10
"""Times that a row is learned from at most, unless the epochs are given: beyond, it is learned by
heart. Where hardly any pair is labelled 0, these few set the length of training."""
CALMER = 0.5
"""Factor of the scale of CoSENT where labelled negatives are rare. It is a soft maximum over pairs
in the wrong order: at full scale hardly any but the few farthest out of order are learned from,
and those are often wrong labels. Together with :data:`_UNLIKE` it took the average precision of
held-out Quora pairs from .812 to .821 (three parts held out, gain +.003 to +.014)."""
_UNLIKE = 8.0
"""How much sooner positives are drawn that look unlike, where there is no time for all of them: as
exp(−8 · similarity), so 0.6 is five times as likely as 0.8. The others are known already."""
MINED = -1.0
"""Label of a mined negative. Many of them are duplicates that nobody labelled: good enough to rank
behind a positive, but not to be taken for people's word."""

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """Rows of one step."""

    columns: tuple[Rows, ...]
    """One, two or three columns of int64[b], numbers of texts."""
    labels: NDArray[np.float32]
    """float32[b]; :data:`MINED` for a pair that only ranking learns from."""


class Task:
    """One file, its objectives, and the order of its batches.

    Everything random follows from the seed and the number of the step, so that training can go on
    from any step.

    Args:
        examples: What to train on.
        chosen: Objectives, whose losses are added up.
        recipe: Sizes and constants.
        meaning: int64[texts], the labels' closure.
        negatives: Mined negatives; None: there are none.
        lengths: int64[texts], tokens of each text.
        likeness: float32[rows], similarity of each row's texts before training; None: positives are
            drawn alike.
    """

    def __init__(
        self,
        examples: Examples,
        chosen: tuple[Objective, ...],
        recipe: Recipe,
        meaning: Rows,
        lengths: Rows,
        negatives: Negatives | None = None,
        likeness: Numbers | None = None,
    ) -> None:
        if examples.kind is Kind.NLI and Objective.RANKING in chosen:
            examples = triplets_of_nli(examples)
        self.examples, self.objectives, self.recipe = examples, chosen, recipe
        self.head: torch.nn.Linear | None = None
        self.targets: Vectors | None = None
        """float32[texts, dimensions]: a teacher's vectors, for the objective ``vectors``."""
        self._meaning, self._negatives = meaning, negatives
        self._lengths = lengths[np.maximum(examples.rows, 0)].sum(axis=1)
        has_labels = examples.kind in (Kind.LABELS, Kind.POSITIVES)
        self._main = np.flatnonzero(examples.labels > 0.5) if has_labels else None
        # Where hardly any pair means the same, all rows are gone through alike.
        if self._main is None or not len(self._main):
            self._main = np.arange(len(examples))
        self._beside = np.setdiff1d(np.arange(len(examples)), self._main)
        self._ordered: tuple[int, list[Rows]] = (-1, [])
        self.repeats_texts = Objective.SIMCSE in chosen
        """Whether a text that stands twice in a batch is read twice, with other dropout."""
        self.batch_size = self._batch_size()
        """Rows of a step, labelled negatives not counted."""
        self.tiring = float("inf")
        """Batches after which each labelled negative was seen :data:`MOST_PASSES` times."""
        if len(self._beside):
            each = _BESIDE * self.batch_size
            self.tiring = MOST_PASSES * max(1.0, len(self._beside) / each)
        self.positives = len(self._rows)
        """Rows whose order makes an epoch, before any is passed over."""
        self._is_lopsided = self._time_for < self.positives
        if self._is_lopsided and likeness is not None and recipe.epochs is None:
            self._main = self._least_alike(likeness)
        self.batches = max(1, len(self._rows) // self.batch_size)
        """Batches of one epoch; what is left over takes part in another one."""

    def _batch_size(self) -> int:
        contrasting = {Objective.RANKING, Objective.SIMCSE} & set(self.objectives)
        # A small set needs steps more than it needs many negatives at once.
        most = _IN_BATCH // 2 if len(self._beside) else _IN_BATCH
        usual = min(most, max(_USUAL, len(self._rows) // _USUAL)) if contrasting else _USUAL
        return max(2, min(self.recipe.batch_size or usual, len(self._rows)))

    @property
    def _rows(self) -> Rows:
        assert self._main is not None
        return self._main

    @property
    def passed_over(self) -> int:
        """Positives that there is no time for before the negatives are known by heart."""
        return self.positives - len(self._rows)

    @property
    def _time_for(self) -> float:
        """Positives that are gone through before the labelled negatives are known by heart."""
        return self.batch_size * self.tiring

    def _least_alike(self, likeness: Numbers) -> Rows:
        """The positives that there is time for, drawn without putting back: the unlike sooner."""
        weights = np.exp(-_UNLIKE * likeness[self._rows].astype(np.float64))
        random = np.random.default_rng((self.recipe.seed, 2))
        count = math.ceil(self._time_for)
        drawn = random.choice(self._rows, count, replace=False, p=weights / weights.sum())
        return np.sort(drawn)

    def batch(self, number: int) -> Batch:
        """The batch of that number, counted from 0 over all epochs."""
        epoch, place = divmod(number, self.batches)
        rows = self._order(epoch)[place]
        random = np.random.default_rng((self.recipe.seed, 1, number))
        labels, columns = self.examples.labels, self.examples.rows
        if self.examples.kind is Kind.TEXTS:
            return Batch((columns[rows, 0], columns[rows, 0]), labels[rows])
        if self.examples.kind is Kind.TRIPLETS:
            return Batch((columns[rows, 0], columns[rows, 1], columns[rows, 2]), labels[rows])
        if self.examples.kind in (Kind.LABELS, Kind.POSITIVES):
            return self._pairs(rows, random)
        return Batch((columns[rows, 0], columns[rows, 1]), labels[rows])

    def _pairs(self, rows: Rows, random: np.random.Generator) -> Batch:
        """Positives (either side first), labelled negatives, and mined ones."""
        pairs = self.examples.rows[rows]
        turned = random.random(len(pairs)) < 0.5
        left = np.where(turned, pairs[:, 1], pairs[:, 0])
        right = np.where(turned, pairs[:, 0], pairs[:, 1])
        lefts, rights, labels = [left], [right], [self.examples.labels[rows]]
        if self._negatives is not None and self.recipe.negatives:
            drawn = self._negatives.draw(left, self.recipe.negatives, random)
            row, column = np.nonzero(drawn >= 0)
            lefts.append(left[row])
            rights.append(drawn[row, column])
            labels.append(np.full(len(row), MINED, np.float32))
        if len(self._beside):
            # However rare they are: both labels have to be heard.
            count = min(_BESIDE * len(rows), len(self._beside))
            some = random.choice(self._beside, count, replace=False)
            lefts.append(self.examples.rows[some, 0])
            rights.append(self.examples.rows[some, 1])
            labels.append(self.examples.labels[some])
        return Batch((np.concatenate(lefts), np.concatenate(rights)), np.concatenate(labels))

    def _order(self, epoch: int) -> list[Rows]:
        """The rows of each batch of an epoch: shuffled, of like length, batches shuffled again."""
        if self._ordered[0] == epoch:
            return self._ordered[1]
        random = np.random.default_rng((self.recipe.seed, 0, epoch))
        size = self.batch_size
        order = random.permutation(self._rows)[: self.batches * size]
        made: list[Rows] = []
        for start in range(0, len(order), size * _WINDOW):
            window = order[start : start + size * _WINDOW]
            window = window[np.argsort(self._lengths[window], kind="stable")]
            made += [window[i : i + size] for i in range(0, len(window), size)]
        shuffled = [made[i] for i in random.permutation(len(made))]
        self._ordered = (epoch, shuffled)
        return shuffled

    def make_head(self, dimensions: int, device: str) -> None:
        """Make the classifier, if one is needed: its weights follow from the seed."""
        if Objective.CLASSIFICATION not in self.objectives:
            return
        import torch

        torch.manual_seed(self.recipe.seed)
        parts = len(self.recipe.concatenation.split(","))
        classes = len(NLI_CLASSES) if self.examples.kind is Kind.NLI else 2
        self.head = torch.nn.Linear(parts * dimensions, classes).to(device)

    def loss(self, columns: tuple[torch.Tensor, ...], batch: Batch) -> torch.Tensor:
        """The sum of the objectives over a batch.

        Args:
            columns: Vectors of the batch's texts, one tensor a column. Shapes: (b, dimensions).
            batch: What they are.
        """
        import torch

        labels = torch.from_numpy(batch.labels).to(columns[0].device)
        parts = [self._one(objective, columns, batch, labels) for objective in self.objectives]
        return torch.stack(parts).sum()

    def _one(
        self,
        objective: Objective,
        columns: tuple[torch.Tensor, ...],
        batch: Batch,
        labels: torch.Tensor,
    ) -> torch.Tensor:
        recipe = self.recipe
        if objective is Objective.RANKING:
            return self._ranking(columns, batch)
        if objective is Objective.TRIPLET:
            anchor, positive, negative = columns
            return objectives.triplet(anchor, positive, negative, _or(recipe.margin, 1.0))
        if objective is Objective.SIMCSE:
            return objectives.simcse(columns[0], columns[1], recipe.scale)
        if objective in (Objective.MARGIN_MSE, Objective.VECTORS):
            return self._of_teacher(objective, columns, batch, labels)
        return self._of_pairs(objective, columns[0], columns[1], labels)

    def _of_teacher(
        self,
        objective: Objective,
        columns: tuple[torch.Tensor, ...],
        batch: Batch,
        labels: torch.Tensor,
    ) -> torch.Tensor:
        """On unit vectors, since a teacher's vectors and margins are of unit vectors as well."""
        import torch

        unit = [torch.nn.functional.normalize(column, dim=-1) for column in columns]
        if objective is Objective.MARGIN_MSE:
            anchor, positive, negative = unit
            return objectives.margin_mse(anchor, positive, negative, labels)
        assert self.targets is not None
        wanted = torch.from_numpy(self.targets[batch.columns[0]]).to(unit[0].device)
        return objectives.vectors(unit[0], wanted)

    def _of_pairs(
        self, objective: Objective, u: torch.Tensor, v: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        recipe = self.recipe
        said = labels >= 0
        u, v, labels = u[said], v[said], labels[said]
        if objective is Objective.COSENT:
            calm = CALMER if self._is_lopsided else 1.0
            return objectives.cosent(objectives.cosines(u, v), labels, calm * recipe.scale)
        if objective is Objective.REGRESSION:
            return objectives.regression(u, v, labels)
        if objective is Objective.CLASSIFICATION:
            assert self.head is not None
            seen = objectives.concatenated(u, v, recipe.concatenation)
            return objectives.classification(self.head(seen), labels.long())
        contrast = {
            Objective.CONTRASTIVE: objectives.contrastive,
            Objective.ONLINE_CONTRASTIVE: objectives.online_contrastive,
        }[objective]
        return contrast(u, v, labels, _or(recipe.margin, 0.5))

    def _ranking(self, columns: tuple[torch.Tensor, ...], batch: Batch) -> torch.Tensor:
        """Each anchor against the positives of all others, and all negatives of the batch."""
        import torch

        if len(columns) == 3:
            there = np.flatnonzero(batch.columns[2] >= 0)
            own = np.arange(len(batch.labels))
            hard, hard_texts = columns[2][torch.from_numpy(there)], batch.columns[2][there]
        else:
            own, other = np.flatnonzero(batch.labels > 0.5), np.flatnonzero(batch.labels <= 0.5)
            hard, hard_texts = columns[1][torch.from_numpy(other)], batch.columns[1][other]
        if not len(own):
            return columns[0].sum() * 0
        anchors, positives = (column[torch.from_numpy(own)] for column in columns[:2])
        texts = np.concatenate([batch.columns[1][own], hard_texts])
        same = self._meaning[batch.columns[0][own]][:, None] == self._meaning[texts][None, :]
        np.fill_diagonal(same, val=False)
        return objectives.ranking(
            anchors,
            torch.cat([positives, hard]),
            scale=self.recipe.scale,
            excluded=torch.from_numpy(same).to(anchors.device),
            symmetric=True,
        )


def triplets_of_nli(examples: Examples) -> Examples:
    """Premise, entailed hypothesis, and a contradiction of the same premise if there is one.

    Gao et al. 2021, section 4 (supervised SimCSE).
    """
    entailed, _, contradicted = range(len(NLI_CLASSES))
    against = {
        int(premise): int(hypothesis)
        for (premise, hypothesis), label in zip(examples.rows, examples.labels, strict=True)
        if label == contradicted
    }
    pairs = examples.rows[examples.labels == entailed]
    third = np.array([against.get(int(premise), -1) for premise in pairs[:, 0]], np.int64)
    rows = np.column_stack([pairs, third])
    return Examples(Kind.TRIPLETS, rows, np.ones(len(rows), np.float32), examples.name)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
