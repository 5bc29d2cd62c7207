"""What every training starts from, whatever is trained: rows in three parts, and negatives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.encoder.checkpoint import Checkpoint
from sbert_cluster.encoder.device import Place
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.evaluation.calibration import Calibration
from sbert_cluster.evaluation.sts import row_cosines
from sbert_cluster.options import EncodeOptions
from sbert_cluster.progress import Progress
from sbert_cluster.training.card import BeforeAfter
from sbert_cluster.training.examples import Examples, Labelled, without_surplus
from sbert_cluster.training.negatives import Negatives, guarded, mine
from sbert_cluster.training.recipe import Kind, Objective, Recipe, objective_for
from sbert_cluster.training.reranker import Reranker
from sbert_cluster.training.split import Split, meanings, split
from sbert_cluster.training.tasks import MOST_PASSES
from sbert_cluster.training.teaching import taught_by
from sbert_cluster.training.trainer import Course, Look
from sbert_cluster.types import Rows, RunManifest, Vectors

Tell = Callable[[str], None]
"""Hears a sentence now and then."""


@dataclass(frozen=True)
class TrainResult:
    """A trained model and what is known of it."""

    output: Path
    """Its folder."""
    course: Course
    """How training went (of the seed that was kept)."""
    held_out: tuple[BeforeAfter, ...]
    """Before and after, on rows held out."""
    calibration: Calibration | None
    """The threshold that was stored with the model."""
    manifest: RunManifest
    """Everything else."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for, and who listens."""

    output: Path
    recipe: Recipe
    encode: EncodeOptions
    place: Place
    guard: str | None
    teacher: str | None
    target_precision: float | None
    average: bool
    every: int | None
    overwrite: bool
    progress: Progress
    tell: Tell

    @property
    def work(self) -> Path:
        """Where checkpoints lie until the model is written."""
        return self.output.with_name(f"{self.output.name}.training")


@dataclass(frozen=True)
class Material:
    """What every seed trains on."""

    texts: list[str]
    """Of the files, and behind them those among which negatives are looked for as well."""
    meaning: Rows
    """int64[texts], the labels' closure."""
    parts: Split
    objectives: list[tuple[Objective, ...]]
    """Of each file."""
    negatives: Negatives | None
    """None: nothing needs them."""
    likeness: list[NDArray[np.float32] | None]
    """Of each file, the similarity of each row's texts before training; None: nothing needs it."""
    targets: Vectors | None
    """A teacher's vectors, where there is one that makes them."""
    identity: str
    """What a checkpoint must agree with."""


def prepare(
    request: Request, checkpoint: Checkpoint, labelled: Labelled, given: int, corpus: Sequence[str]
) -> Material:
    """Hold rows out, ask the teacher, mine negatives, and say what will be done.

    Args:
        request: What was asked for.
        checkpoint: The model to start from.
        labelled: All files.
        given: So many of the last files are there to judge by.
        corpus: Further texts to look for negatives in.

    Raises:
        UsageError: If an objective does not fit its file.
    """
    parts = split(labelled, request.recipe.holdout, request.recipe.seed, given=given)
    request.tell(parts.said())
    texts = list(dict.fromkeys([*labelled.texts, *(text for text in corpus if text)]))
    targets = None
    if request.teacher:
        taught = taught_by(request.teacher, parts.train, request.encode, request.progress)
        parts, targets = replace(parts, train=taught.labelled), taught.vectors
    meaning = meanings(texts, parts.train.sets)
    if request.recipe.epochs is None:
        parts = replace(parts, train=_without_surplus(parts.train, request))
    sets = parts.train.sets
    objectives = [objective_for(e.kind, request.recipe.objective) for e in sets]
    for examples, chosen in zip(sets, objectives, strict=True):
        request.tell(f"{examples.name}: {examples.said()} to train on, by {' + '.join(chosen)}")
    negatives = None
    likeness: list[NDArray[np.float32] | None] = [None for _ in sets]
    ranked = any(
        Objective.RANKING in chosen and examples.kind in (Kind.LABELS, Kind.POSITIVES)
        for examples, chosen in zip(sets, objectives, strict=True)
    )
    if ranked and request.recipe.negatives:
        known = _known(request, texts, parts, len(labelled.texts))
        negatives = _mined(request, texts, meaning, known)
        likeness = [known.likeness(e) for e in sets]
    identity = _identity(request, checkpoint, texts, parts.train)
    return Material(texts, meaning, parts, objectives, negatives, likeness, targets, identity)


def _without_surplus(train: Labelled, request: Request) -> Labelled:
    sets = []
    for examples in train.sets:
        sets.append(without_surplus(examples, MOST_PASSES, request.recipe.seed))
        if len(sets[-1]) < len(examples):
            request.tell(
                f"{examples.name}: {len(sets[-1]):,} of {len(examples):,} rows are used, since one "
                "label is so rare (--epochs 1 uses all)"
            )
    return replace(train, sets=tuple(sets))


@dataclass(frozen=True)
class _Known:
    """Vectors by the model that training starts from."""

    used: Rows
    """int64[k], numbers of texts, ascending: what is not trained on is not even encoded."""
    vectors: Vectors
    """float32[k, d], unit rows."""

    def likeness(self, examples: Examples) -> NDArray[np.float32] | None:
        """float32[rows]: the similarity of each pair; None: these are no pairs with 0 and 1."""
        if examples.kind is not Kind.LABELS:
            return None
        left, right = (np.searchsorted(self.used, column) for column in examples.rows.T)
        return row_cosines(self.vectors[left], self.vectors[right]).astype(np.float32)


def _known(request: Request, texts: list[str], parts: Split, own: int) -> _Known:
    """Encode the texts to train on, and the corpus that was given to look for negatives in."""
    allowed = np.zeros(len(texts), np.bool_)
    allowed[own:] = True
    for examples in parts.train.sets:
        allowed[examples.rows[examples.rows >= 0]] = True
    used = np.flatnonzero(allowed)
    some = [texts[row] for row in used]
    return _Known(used, Encoder.open(request.encode).encode(some, request.progress).vectors)


def _mined(request: Request, texts: list[str], meaning: Rows, known: _Known) -> Negatives:
    """Hard negatives among the encoded texts."""
    used, band = known.used, request.recipe.band
    inner = mine(known.vectors, meaning[used], band, progress=request.progress)
    rows = np.full((len(texts), inner.rows.shape[1]), -1, np.int64)
    rows[used] = np.where(inner.rows >= 0, used[inner.rows], -1)
    found = Negatives(rows)
    if request.guard:
        judge = Reranker.open(request.guard, request.encode.device)
        found = guarded(found, texts, lambda pairs: judge.score(pairs, request.progress))
    request.tell(
        f"hard negatives for {found.count:,} of {len(used):,} texts, at similarities of "
        f"{band[0]:g} to {band[1]:g} (--negatives-band)"
    )
    return found


def _identity(request: Request, checkpoint: Checkpoint, texts: list[str], train: Labelled) -> str:
    """What a training depends on, but its seed: a checkpoint of another one must not be taken."""
    digest = hashlib.sha256(checkpoint.fingerprint.key.encode())
    place = {"device": request.place.device, "precision": str(request.place.precision)}
    others = {"guard": request.guard, "teacher": request.teacher}
    said = {**asdict(request.recipe), **place, **others, "seed": 0}
    digest.update(json.dumps([said, texts], sort_keys=True).encode())
    for examples in train.sets:
        digest.update(examples.rows.tobytes() + examples.labels.tobytes())
    return digest.hexdigest()


def said_look(look: Look) -> str:
    """A look at the held-out rows, for people."""
    said = f"step {look.step:,} of {look.steps:,}: loss {look.loss:.4f}"
    if look.score is None:
        return said
    return f"{said}, held-out rows {look.score:.4f}" + (" (best so far)" if look.best else "")
