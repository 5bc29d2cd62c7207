"""From labelled pairs to a threshold; without labels, a look at where similarities lie."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.corpus.texts import distinct, texts_of
from sbert_cluster.corpus.writing import atomic_file
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.errors import InputError, ModelError, UsageError
from sbert_cluster.evaluation.calibration import Calibration, calibrate, thinned
from sbert_cluster.evaluation.pairs import AtThreshold, curve
from sbert_cluster.evaluation.sts import row_cosines
from sbert_cluster.neighbors.search import find_nearest
from sbert_cluster.pipeline.inputs import Inputs, read_inputs
from sbert_cluster.pipeline.labels import LabelColumns, LabelInputs, read_label_files
from sbert_cluster.pipeline.shared import Shared, check_names, encode_options, read_options
from sbert_cluster.progress import Progress, silent
from sbert_cluster.report.plots import precision_recall_svg
from sbert_cluster.training.examples import Examples, Labelled, read_examples, texts_of_rows
from sbert_cluster.training.judging import among_all
from sbert_cluster.training.recipe import Kind
from sbert_cluster.training.saving import seen_by, write_settings

_ROWS_LOOKED_AT = 5_000
_RANDOM_PAIRS = 20_000
_BANDS = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5)
_SHOWN = 3
"""Pairs shown of each band."""
HIGH = 0.5
"""Similarity of random pairs from which a usual threshold means nothing."""


@dataclass(frozen=True)
class CalibrateResult:
    """A threshold from labelled pairs."""

    calibration: Calibration
    points: list[AtThreshold]
    """The precision-recall curve, at some sixty recalls."""
    model: dict[str, Any]
    """The model whose similarities these are."""
    notes: tuple[str, ...] = ()
    """What was found in the file."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-ready dict."""
        points = [asdict(point) for point in self.points]
        return {**self.calibration.to_dict(), "curve": points, "model": self.model}


@dataclass(frozen=True)
class Band:
    """Pairs of nearest rows whose similarity lies between two numbers."""

    low: float
    high: float
    rows: int
    """Rows whose nearest other row lies in the band."""
    pairs: list[tuple[float, str, str]] = field(default_factory=list)
    """Some of them: similarity and both texts."""


@dataclass(frozen=True)
class Survey:
    """Where the similarities of texts without labels lie."""

    rows: int
    """Distinct texts looked at."""
    bands: list[Band]
    """Highest first."""
    random_mean: float
    """Mean similarity of random pairs."""
    random_high: float
    """Similarity that one random pair in a hundred exceeds."""

    @property
    def is_crowded(self) -> bool:
        """Whether even unrelated texts look alike to this model."""
        return self.random_mean >= HIGH

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-ready dict."""
        return asdict(self)


def calibrate_threshold(
    labels: LabelInputs,
    *,
    columns: LabelColumns | None = None,
    target_precision: float | None = None,
    among_all_pairs: bool = False,
    save: bool = False,
    plot: str | Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    **shared: Unpack[Shared],
) -> CalibrateResult:
    """Find the threshold for a wanted precision, or for the best F1, from labelled pairs.

    Args:
        labels: A file of pairs with 0 and 1, or a frame.
        columns: Which columns and rows of it count; None: found by their names.
        target_precision: In (0, 1]; None: the best F1.
        among_all_pairs: Take all other pairs of the same texts as different: the threshold is then
            one for a file of such texts, where different pairs are thousands of times as many.
        save: Store the threshold with the model, for ``dedup --model``.
        plot: An ``.svg`` file for the precision-recall curve; None: none is drawn.
        seed: Of the bootstrap.
        progress: Told how far each stage is.
        **shared: See :class:`~sbert_cluster.pipeline.shared.Shared`.

    Returns:
        The threshold, with 95 % intervals.

    Raises:
        UsageError: For an input or option that cannot be used.
        ModelError: For a model that cannot be used, or holds no place for a threshold.
        RunFolderError: If the curve cannot be written.
    """
    check_names("calibrate", shared)
    if target_precision is not None and not 0 < target_precision <= 1:
        raise UsageError(
            f"--target-precision {target_precision:g} is outside (0, 1]", "Use one such as 0.95."
        )
    encode = encode_options(shared)
    folder = _place_for(encode.model) if save else None
    read = read_options(shared)
    labelled = read_examples(read_label_files(labels, columns or LabelColumns(), read, progress))
    examples = labelled.sets[0]
    if len(labelled.sets) != 1 or examples.kind is not Kind.LABELS:
        raise InputError(
            f"a threshold needs one file of pairs with 0 and 1, not {examples.said()}",
            "Name the column of the labels with --label-column.",
        )
    examples, note = _unseen(labelled, examples, encode.model)
    encoder = Encoder.open(encode)
    vectors = encoder.encode(labelled.texts, progress).vectors
    scores = row_cosines(*(vectors[column] for column in examples.rows.T))
    truth: NDArray[np.bool_] = examples.labels > 0.5
    if among_all_pairs:
        scores, truth = among_all(labelled, examples, lambda rows: vectors[rows])
    found = calibrate(scores, truth, target_precision, seed=seed)
    made = curve(scores, truth)
    if plot:
        with atomic_file(Path(plot)) as path:
            svg = precision_recall_svg(made.recall, made.precision, found.recall, found.precision)
            path.write_text(svg, encoding="utf-8")
    if folder:
        write_settings(folder, {"calibration": found.to_dict()})
    return CalibrateResult(
        found, thinned(made), asdict(encoder.fingerprint), (*labelled.notes, *note)
    )


def _unseen(labelled: Labelled, examples: Examples, model: str) -> tuple[Examples, tuple[str, ...]]:
    """The rows that the model was not trained on: it knows the others by heart."""
    seen = seen_by(Path(model).expanduser(), texts_of_rows(labelled, examples))
    count = int(seen.sum())
    if not count:
        return examples, ()
    if count == len(seen):
        raise InputError(
            f"the model was trained on all {count:,} rows", "Calibrate it on pairs new to it."
        )
    note = f"{count:,} rows that the model was trained on are left out"
    return examples.take(~seen), (note,)


def _place_for(model: str) -> Path:
    folder = Path(model).expanduser()
    if not (folder / "config.json").exists():
        raise ModelError(
            f"{model!r} is no model folder of your own, so no threshold can be stored with it",
            "Give --threshold to dedup, or train a model.",
        )
    return folder


def survey(
    inputs: Inputs, *, seed: int = 0, progress: Progress = silent, **shared: Unpack[Shared]
) -> Survey:
    """See where similarities lie, without labels: a sample of pairs in each band.

    Args:
        inputs: As for ``dedup``.
        seed: Of the samples.
        progress: Told how far each stage is.
        **shared: See :class:`~sbert_cluster.pipeline.shared.Shared`.

    Raises:
        UsageError: For an input or option that cannot be used.
        ModelError: For a model that cannot be used.
    """
    check_names("calibrate", shared)
    all_texts = texts_of(read_inputs(inputs, read_options(shared), progress))
    texts = [all_texts[row] for row in distinct(all_texts).first]
    if len(texts) < 2:
        raise InputError(f"there are {len(texts)} distinct texts", "Give at least two.")
    random = np.random.default_rng(seed)
    vectors = Encoder.open(encode_options(shared)).encode(texts, progress).vectors
    looked = random.permutation(len(texts))[:_ROWS_LOOKED_AT]
    # A row is its own nearest; the one after it is looked for.
    nearest = find_nearest(vectors[looked], vectors, 2, progress=progress)
    other = np.where(nearest.rows[:, 0] == looked, nearest.rows[:, 1], nearest.rows[:, 0])
    similarity = row_cosines(vectors[looked], vectors[other])
    left = random.integers(0, len(texts), _RANDOM_PAIRS)
    right = (left + random.integers(1, len(texts), _RANDOM_PAIRS)) % len(texts)
    at_random = row_cosines(vectors[left], vectors[right])
    bands, high = [], 1.01
    for low in (*_BANDS, -1.0):
        inside = np.flatnonzero((similarity >= low) & (similarity < high))
        some = random.permutation(inside)[:_SHOWN]
        shown = [(float(similarity[i]), texts[looked[i]], texts[other[i]]) for i in some]
        bands.append(Band(low, min(high, 1.0), len(inside), shown))
        high = low
    return Survey(len(looked), bands, float(at_random.mean()), float(np.quantile(at_random, 0.99)))
