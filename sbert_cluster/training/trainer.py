"""The loop: batches → loss → Adam, looks at held-out rows, checkpoints.

Reimers & Gurevych 2019, section 3.1: Adam, learning rate 2e-5, linear warm-up over 10 % of the
steps. The rate falls linearly afterwards, as in the authors' own code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sbert_cluster.encoder.checkpoint import Checkpoint
from sbert_cluster.encoder.device import Place
from sbert_cluster.progress import Progress, silent
from sbert_cluster.training.checkpoints import Checkpoints, Saved
from sbert_cluster.training.recipe import Recipe
from sbert_cluster.training.tasks import MOST_PASSES, Batch
from sbert_cluster.types import Rows

if TYPE_CHECKING:
    import torch

_SMALL_MODEL = 6
"""Layers up to which a model gets the higher learning rate."""
_RATE, _RATE_SMALL = 2e-5, 5e-5
_FEW_STEPS = 100
"""Steps that a small set is trained for at least, unless the epochs are given."""


@dataclass(frozen=True)
class Look:
    """What a look at the held-out rows showed."""

    step: int
    """Steps done."""
    steps: int
    """Steps in all."""
    loss: float
    """Mean since the last look."""
    score: float | None
    """Of the held-out rows; None: there are none to choose by."""
    best: bool
    """Whether it is the best so far."""


@dataclass(frozen=True)
class Course:
    """How training went."""

    steps: int
    """Steps that were planned."""
    done: int
    """Steps that were made: fewer where it stopped early."""
    looks: tuple[Look, ...]
    """What was seen on the way."""

    @property
    def best(self) -> Look | None:
        """The look whose weights were kept; None: the last weights were."""
        return next((look for look in reversed(self.looks) if look.best), None)


class Trainable(Protocol):
    """What can be trained: an encoder, or a cross-encoder (whose texts are pairs)."""

    checkpoint: Checkpoint
    place: Place

    @property
    def dimensions(self) -> int:
        """Numbers that :meth:`forward` gives for a text."""

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """What is trained, by name."""

    def learning(self, on: bool) -> None:
        """Switch dropout on or off."""

    def chunks(self, numbers: Rows) -> list[Rows]:
        """Cut texts into forward passes."""

    def forward(self, numbers: Rows) -> torch.Tensor:
        """Vectors of texts, with their graph. Shape: (k, dimensions)."""


class Lesson(Protocol):
    """What gives a batch to every step: a task, for an encoder or a cross-encoder."""

    head: torch.nn.Linear | None
    repeats_texts: bool
    batches: int
    tiring: float

    def make_head(self, dimensions: int, device: str) -> None:
        """Make the weights of the objective's own, if it has any."""

    def batch(self, number: int) -> Batch:
        """The batch of that number."""

    def loss(self, columns: tuple[torch.Tensor, ...], batch: Batch) -> torch.Tensor:
        """The loss of a batch."""


class Trainer:
    """Trains a network on tasks.

    Args:
        network: What is trained; it has read the texts.
        tasks: Each gives one batch to every step.
        recipe: How.
        judge: Scores the network on rows held out for that, the higher the better; None: there are
            too few, so training takes its full course and the last weights stay.
        checkpoints: Where to go on from, and to write to; None: nothing is written.
        every: Steps between two checkpoints; None: as many as between two looks.
        progress: Told the steps done.
        tell: Told what each look shows.
    """

    def __init__(
        self,
        network: Trainable,
        tasks: Sequence[Lesson],
        recipe: Recipe,
        *,
        judge: Callable[[], float] | None = None,
        checkpoints: Checkpoints | None = None,
        every: int | None = None,
        progress: Progress = silent,
        tell: Callable[[Look], None] = lambda _: None,
    ) -> None:
        self._network, self._tasks, self._recipe = network, tasks, recipe
        self._judge, self._checkpoints = judge, checkpoints
        self._progress, self._tell = progress, tell
        self.steps = steps_of(tasks, recipe)
        """Steps in all."""
        self._between = max(1, self.steps // recipe.looks)
        self._every = every or self._between
        for task in tasks:
            task.make_head(network.dimensions, network.place.device)
        self._weights = self._trained()
        self._rate = recipe.learning_rate or usual_rate(network.checkpoint)
        self._adam = self._optimiser()
        self._state = _State()

    def run(self) -> Course:
        """Train to the end, from the newest checkpoint if there is one.

        Returns:
            How it went. The network holds the best weights, or the last where nothing judges.

        Raises:
            RunFolderError: If a checkpoint cannot be written, or belongs to another training.
        """
        saved = self._checkpoints.load() if self._checkpoints else None
        if saved:
            self._restore(saved)
        state = self._state
        self._network.learning(True)
        self._progress("training", state.step, self.steps, "steps")
        while not self._is_over:
            state.losses.append(self._step(state.step))
            state.step += 1
            if state.step % self._between == 0 or state.step == self.steps:
                self._look()
            if self._checkpoints and state.step % self._every == 0 and not self._is_over:
                self._checkpoints.save(state.step, self._saved())
            self._progress("training", state.step, self.steps, "steps")
        self._progress("training", self.steps, self.steps, "steps")
        if state.best:
            self._load(state.best)
        # Other seeds may follow, and be cut off.
        if self._checkpoints and not (saved and saved.state["step"] == state.step):
            self._checkpoints.save(state.step, Saved(self._said(), self._now()))
        return Course(self.steps, state.step, tuple(state.looks))

    @property
    def _is_over(self) -> bool:
        return self._state.step >= self.steps or self._state.poor >= self._recipe.patience

    def _step(self, step: int) -> float:
        """One step of Adam; returns the loss."""
        import torch

        total = 0.0
        for part in range(self._recipe.accumulate):
            number = step * self._recipe.accumulate + part
            total += self._backward(number) / self._recipe.accumulate
        for group in self._adam.param_groups:
            group["lr"] = self._rate * self._factor(step)
        torch.nn.utils.clip_grad_norm_(self._weights.values(), self._recipe.clip)
        self._adam.step()
        self._adam.zero_grad()
        return total

    def _backward(self, number: int) -> float:
        """Add the gradient of one batch of each task; returns the loss."""
        import torch

        batches = [task.batch(number) for task in self._tasks]
        texts, places = _texts_of(self._tasks, batches)
        chunks = self._network.chunks(texts)
        if not self._recipe.cached or len(texts) <= self._recipe.cached:
            vectors = _in_place(
                [self._chunk(texts, c, number, i) for i, c in enumerate(chunks)], chunks
            )
            loss = self._loss(vectors, places, batches)
            loss.div(self._recipe.accumulate).backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())
        # Gradients of the loss to the vectors first, then chunk by chunk to the weights: the same
        # gradient, with the memory of one chunk (Gao et al. 2021, "Scaling Deep Contrastive
        # Learning Batch Size under Memory Limited Setup"). The same seed gives the same dropout.
        with torch.no_grad():
            parts = [self._chunk(texts, c, number, i) for i, c in enumerate(chunks)]
        vectors = _in_place(parts, chunks).requires_grad_()
        loss = self._loss(vectors, places, batches)
        loss.div(self._recipe.accumulate).backward()  # type: ignore[no-untyped-call]
        assert vectors.grad is not None
        for i, chunk in enumerate(chunks):
            made = self._chunk(texts, chunk, number, i)
            made.backward(vectors.grad[torch.from_numpy(chunk).to(made.device)])  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _chunk(self, texts: Rows, chunk: Rows, number: int, index: int) -> torch.Tensor:
        """Vectors of some texts; dropout follows from the seed, the batch and the chunk alone."""
        import torch

        seed = np.random.SeedSequence((self._recipe.seed, number, index))
        torch.manual_seed(int(seed.generate_state(1)[0]))
        return self._network.forward(texts[chunk])

    def _loss(
        self, vectors: torch.Tensor, places: list[tuple[Rows, ...]], batches: list[Batch]
    ) -> torch.Tensor:
        import torch

        parts = []
        for task, columns, batch in zip(self._tasks, places, batches, strict=True):
            own = tuple(vectors[torch.from_numpy(c).to(vectors.device)] for c in columns)
            parts.append(task.loss(own, batch))
        return torch.stack(parts).sum()

    def _look(self) -> None:
        state = self._state
        score = self._judge() if self._judge else None
        better = score is not None and score > state.best_score
        if better:
            assert score is not None
            state.best_score, state.poor = score, 0
            state.best = {k: w.detach().clone() for k, w in self._weights.items()}
        # While the learning rate is high, scores go up and down; that is no reason to stop.
        elif score is not None and 2 * state.step > self.steps:
            state.poor += 1
        mean = float(np.mean(state.losses)) if state.losses else float("nan")
        look = Look(state.step, self.steps, mean, score, better)
        state.losses.clear()
        state.looks.append(look)
        self._tell(look)

    def _trained(self) -> dict[str, torch.nn.Parameter]:
        weights = self._network.parameters()
        for i, task in enumerate(self._tasks):
            if task.head is not None:
                weights |= {f"head.{i}.{k}": p for k, p in task.head.named_parameters()}
        return weights

    def _optimiser(self) -> torch.optim.Optimizer:
        import torch

        weights, decay = list(self._weights.values()), self._recipe.weight_decay
        return torch.optim.AdamW(weights, lr=self._rate, weight_decay=decay, fused=True)

    def _factor(self, step: int) -> float:
        """Share of the learning rate at a step: up over the warm-up, then down to 0."""
        rising = max(1.0, self._recipe.warmup * self.steps)
        return min(
            (step + 1) / rising, max(0.0, (self.steps - step) / max(1.0, self.steps - rising))
        )

    def _said(self) -> dict[str, Any]:
        import torch

        return {**self._state.to_json(), "threads": torch.get_num_threads()}

    def _now(self) -> dict[str, torch.Tensor]:
        return {f"now.{k}": w.detach() for k, w in self._weights.items()}

    def _saved(self) -> Saved:
        tensors = self._now()
        for name, weight in self._weights.items():
            for key, value in self._adam.state.get(weight, {}).items():
                tensors[f"adam.{key}.{name}"] = value
        tensors |= {f"best.{k}": w for k, w in self._state.best.items()}
        return Saved(self._said(), tensors)

    def _restore(self, saved: Saved) -> None:
        import torch

        # Sums depend on the number of threads, in their last digits.
        torch.set_num_threads(int(saved.state.pop("threads")))
        self._load({k[4:]: t for k, t in saved.tensors.items() if k.startswith("now.")})
        for name, weight in self._weights.items():
            kept = {
                key: saved.tensors[f"adam.{key}.{name}"].to(
                    "cpu" if key == "step" and not weight.is_cuda else weight.device
                )
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"adam.{key}.{name}" in saved.tensors
            }
            if kept:
                self._adam.state[weight] = kept
        best = {k[5:]: t for k, t in saved.tensors.items() if k.startswith("best.")}
        self._state = _State.from_json(saved.state, best)

    def _load(self, weights: dict[str, torch.Tensor]) -> None:
        import torch

        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(weights[name])


class _State:
    """Where training stands."""

    def __init__(self) -> None:
        self.step = 0
        self.losses: list[float] = []
        self.looks: list[Look] = []
        self.poor = 0
        self.best: dict[str, torch.Tensor] = {}
        self.best_score = float("-inf")

    def to_json(self) -> dict[str, Any]:
        looks = [vars(look) for look in self.looks]
        return {"step": self.step, "losses": self.losses, "looks": looks, "poor": self.poor}

    @classmethod
    def from_json(cls, saved: dict[str, Any], best: dict[str, torch.Tensor]) -> _State:
        state = cls()
        state.step, state.losses, state.poor = saved["step"], saved["losses"], saved["poor"]
        state.looks = [Look(**look) for look in saved["looks"]]
        scores = [look.score for look in state.looks if look.best and look.score is not None]
        state.best, state.best_score = best, max(scores, default=float("-inf"))
        return state


def steps_of(tasks: Sequence[Lesson], recipe: Recipe) -> int:
    """Steps in all: the longest file sets the length of an epoch.

    Small sets get more epochs than one, so that Adam gets anywhere at all. Large ones with few
    labelled negatives get less than one.
    """
    an_epoch = max(task.batches for task in tasks) / recipe.accumulate
    if recipe.epochs is not None:
        return max(1, round(recipe.epochs * an_epoch))
    tiring = max(task.tiring for task in tasks) / recipe.accumulate
    few = min(MOST_PASSES * an_epoch, max(an_epoch, _FEW_STEPS))
    return max(1, round(min(few, tiring)))


def usual_rate(checkpoint: Checkpoint) -> float:
    """2e-5 as in the paper; small models take and need larger steps."""
    config = checkpoint.config
    layers = int(config.get("num_hidden_layers", config.get("n_layers", 12)))
    return _RATE_SMALL if layers <= _SMALL_MODEL else _RATE


def _texts_of(
    tasks: Sequence[Lesson], batches: Sequence[Batch]
) -> tuple[Rows, list[tuple[Rows, ...]]]:
    """The texts of a step, each once where that is the same, and the place of each column's."""
    texts: list[int] = []
    known: dict[int, int] = {}
    places = []
    for task, batch in zip(tasks, batches, strict=True):
        columns = []
        for column in batch.columns:
            if task.repeats_texts:
                columns.append(np.arange(len(texts), len(texts) + len(column)))
                texts += column.tolist()
                continue
            own = []
            # An absent negative (-1) is any text; no loss looks at it.
            for number in np.maximum(column, 0).tolist():
                if number not in known:
                    known[number] = len(texts)
                    texts.append(number)
                own.append(known[number])
            columns.append(np.array(own, np.int64))
        places.append(tuple(columns))
    return np.array(texts, np.int64), places


def _in_place(parts: list[torch.Tensor], chunks: list[Rows]) -> torch.Tensor:
    """The chunks' vectors in the order of the texts."""
    import torch

    order = np.concatenate(chunks)
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    joined = torch.cat(parts)
    return joined[torch.from_numpy(back).to(joined.device)]
