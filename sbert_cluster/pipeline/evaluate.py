"""How good a model is, on files that people labelled, beside baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import polars as pl

from sbert_cluster.corpus.columns import require_column
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.errors import InputError, UsageError
from sbert_cluster.evaluation.baselines import pooled_otherwise, tf_idf, word_vectors
from sbert_cluster.evaluation.pairs import at_threshold, score_pairs
from sbert_cluster.evaluation.sts import row_cosines
from sbert_cluster.evaluation.transfer import cross_validated, of_pairs, train_and_test
from sbert_cluster.options import EncodeOptions
from sbert_cluster.pipeline.labels import LabelColumns, LabelInputs, read_label_files
from sbert_cluster.pipeline.shared import Shared, check_names, encode_options, read_options
from sbert_cluster.progress import Progress, silent
from sbert_cluster.training.columns import find_columns
from sbert_cluster.training.examples import Examples, LabelFile, read_examples, texts_of_rows
from sbert_cluster.training.judging import columns_of, measures
from sbert_cluster.training.recipe import Kind
from sbert_cluster.training.saving import seen_by
from sbert_cluster.training.split import components
from sbert_cluster.types import Vectors

EncodeTexts = Callable[[Sequence[str]], Vectors]
"""Texts → vectors, float32[n, d]."""


@dataclass(frozen=True)
class Evaluated:
    """One file, or a part of it, by one way of making vectors."""

    data: str
    contender: str
    """The model, or a baseline."""
    rows: int
    scores: dict[str, float]
    """The main measure first."""


@dataclass(frozen=True)
class EvaluateResult:
    """All files by all contenders."""

    rows: tuple[Evaluated, ...]
    model: dict[str, Any]
    notes: tuple[str, ...] = ()

    def averages(self) -> dict[str, float]:
        """Mean of the main measure over all files, by contender; empty for a single file."""
        made: dict[str, list[tuple[str, float]]] = {}
        for row in self.rows:
            made.setdefault(row.contender, []).append(next(iter(row.scores.items())))
        return {
            contender: float(np.mean([value for _, value in values]))
            for contender, values in made.items()
            if len(values) > 1 and len({name for name, _ in values}) == 1
        }

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-ready dict."""
        rows = [asdict(row) for row in self.rows]
        return {"scores": rows, "averages": self.averages(), "model": self.model}

    def to_markdown(self) -> str:
        """A table for each set of measures."""
        tables: dict[tuple[str, ...], list[Evaluated]] = {}
        for row in self.rows:
            tables.setdefault(tuple(row.scores), []).append(row)
        return "\n\n".join(_table(names, rows) for names, rows in tables.items()) + "\n"


def evaluate(
    data: LabelInputs,
    *,
    columns: LabelColumns | None = None,
    by: str | None = None,
    cross_topic: str | None = None,
    folds: int | None = None,
    transfer: bool = False,
    baselines: Sequence[str] = (),
    threshold: float | None = None,
    seed: int = 0,
    progress: Progress = silent,
    **shared: Unpack[Shared],
) -> EvaluateResult:
    """Measure a model.

    Pairs with scores give correlations, pairs with 0 and 1 precision and recall, triplets an
    accuracy, NLI a correlation of similarity with the order of the classes.

    Args:
        data: Label files, or a frame.
        columns: Which columns and rows of them count; None: found by their names.
        by: A column: each of its values is measured apart.
        cross_topic: A column of topics: each is judged by what the others teach (the threshold, for
            pairs with 0 and 1), and the mean over topics is given (Misra et al. 2016).
        folds: So many random folds that share no text are used in the same way.
        transfer: Texts (or pairs) with classes: logistic regression on the vectors.
        baselines: ``tf-idf``, ``mean``, ``max`` or ``cls`` (the same weights pooled so), or a text
            file of word vectors.
        threshold: Pairs with 0 and 1: precision, recall and F1 at this similarity as well.
        seed: Of the folds.
        progress: Told how far each stage is.
        **shared: See :class:`~sbert_cluster.pipeline.shared.Shared`.

    Returns:
        Scores of each file by each contender.

    Raises:
        UsageError: For a file or option that cannot be used.
        ModelError: For a model that cannot be used.
    """
    check_names("evaluate", shared)
    columns, encode = columns or LabelColumns(), encode_options(shared)
    encoder = Encoder.open(encode)
    contenders: dict[str, EncodeTexts] = {
        encode.model: lambda texts: encoder.encode(texts, progress).vectors
    }
    for name in baselines:
        contenders[name] = _baseline(name, encode, progress)
    rows: list[Evaluated] = []
    notes: list[str] = []
    for file in read_label_files(data, columns, read_options(shared), progress):
        for part in _parts(file, by):
            if transfer:
                rows += _transferred(part, contenders, folds or 10, seed, progress)
                continue
            labelled = read_examples([part], whole=True)
            notes += labelled.notes
            (examples,) = labelled.sets
            seen = seen_by(Path(encode.model).expanduser(), texts_of_rows(labelled, examples))
            if seen.any():
                notes.append(f"! {int(seen.sum()):,} of these rows were trained on by this model")
            groups = _groups(part, examples, labelled.texts, cross_topic, folds, seed)
            for name, make in contenders.items():
                vectors = make(labelled.texts)
                made = columns_of(examples, lambda rows, known=vectors: known[rows])  # type: ignore[misc]
                scores = _scored(examples, made, groups, threshold)
                rows.append(Evaluated(part.name, name, len(examples), scores))
    return EvaluateResult(tuple(rows), asdict(encoder.fingerprint), tuple(notes))


def _baseline(name: str, encode: EncodeOptions, progress: Progress) -> EncodeTexts:
    if name == "tf-idf":
        return tf_idf
    if name in ("mean", "max", "cls"):
        return lambda texts: pooled_otherwise(texts, encode, name, progress)
    if Path(name).is_file():
        return lambda texts: word_vectors(texts, Path(name))
    raise UsageError(
        f"--baseline {name!r} is not known", "Use tf-idf, mean, max, cls, or a GloVe text file."
    )


def _parts(file: LabelFile, by: str | None) -> list[LabelFile]:
    if by is None:
        return [file]
    require_column(file.frame, by)
    values = file.frame[by].unique(maintain_order=True).drop_nulls().to_list()
    return [
        LabelFile(
            file.frame.filter(pl.col(by) == value),
            f"{file.name}: {value}",
            file.text_columns,
            file.label_column,
        )
        for value in values
    ]


def _groups(
    file: LabelFile,
    examples: Examples,
    texts: list[str],
    topics: str | None,
    folds: int | None,
    seed: int,
) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    """int64[n]: the topic or fold of each row; None: all rows are judged together."""
    if topics:
        require_column(file.frame, topics)
        if file.frame.height != len(examples):
            raise InputError(
                f"{file.name} has rows that cannot be used", "Remove them for --cross-topic."
            )
        return file.frame[topics].rank("dense").to_numpy().astype(np.int64)
    if not folds:
        return None
    own = components(texts, [examples])[examples.rows[:, 0]]
    numbers = np.random.default_rng(seed).permutation(int(own.max()) + 1) % folds
    return np.asarray(numbers[own], np.int64)


def _scored(
    examples: Examples,
    made: list[Vectors],
    groups: np.ndarray[tuple[int], np.dtype[np.int64]] | None,
    threshold: float | None,
) -> dict[str, float]:
    if groups is not None:
        return _mean_of_groups(examples, made, groups)
    scores = measures(examples, made)
    if threshold is not None and examples.kind is Kind.LABELS:
        found = at_threshold(row_cosines(made[0], made[1]), examples.labels > 0.5, threshold)
        scores |= {f"{k}_at_{threshold:g}": v for k, v in asdict(found).items() if k != "threshold"}
    return scores


def _mean_of_groups(
    examples: Examples, made: list[Vectors], groups: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> dict[str, float]:
    """Each group by a threshold from all others, or by its own correlations; the mean of all."""
    parts: list[dict[str, float]] = []
    for group in np.unique(groups):
        inside = groups == group
        own = [column[inside] for column in made]
        if examples.kind is not Kind.LABELS:
            parts.append(measures(examples.take(inside), own))
            continue
        truth = examples.labels > 0.5
        scores = row_cosines(made[0], made[1])
        taught = score_pairs(scores[~inside], truth[~inside]).best_threshold
        found = at_threshold(scores[inside], truth[inside], taught)
        parts.append({"f1": found.f1, "precision": found.precision, "recall": found.recall})
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}


def _transferred(
    file: LabelFile,
    contenders: dict[str, EncodeTexts],
    folds: int,
    seed: int,
    progress: Progress,
) -> list[Evaluated]:
    """Accuracy of logistic regression: train → test if the file says so, folds otherwise."""
    frame = file.frame
    columns = find_columns(frame, file.text_columns, file.label_column, one_text=True)
    if not columns.label:
        raise InputError(f"{file.name} has no column of classes", "Name it with --label-column.")
    frame = frame.filter(pl.col(columns.texts[0]).fill_null("") != "")
    classes = frame[columns.label].cast(pl.String).rank("dense").to_numpy().astype(np.int64)
    split = frame["split"].to_list() if "split" in frame.columns else []
    divided = {"train", "test"} <= set(split)
    made = []
    for name, make in contenders.items():
        sides = [make(frame[column].fill_null("").to_list()) for column in columns.texts]
        features = sides[0] if len(sides) == 1 else of_pairs(sides[0], sides[1])
        if divided:
            known = np.array([one in ("train", "test") for one in split])
            is_test = np.array([one == "test" for one in split])[known]
            scores = train_and_test(features[known], classes[known], is_test, seed=seed)
        else:
            scores = cross_validated(features, classes, folds=folds, seed=seed, progress=progress)
        told = {"accuracy": 100 * scores.accuracy, "deviation": 100 * scores.deviation}
        made.append(Evaluated(file.name, name, scores.rows, told))
    return made


def _table(names: tuple[str, ...], rows: list[Evaluated]) -> str:
    head = ["data", "model", "rows", *names]
    lines = [head, ["---", "---", *["---:"] * (len(names) + 1)]]
    for row in rows:
        values = [
            f"{value:.2f}" if abs(value) > 1 else f"{value:.4f}" for value in row.scores.values()
        ]
        lines.append([row.data, row.contender, f"{row.rows:,}", *values])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
