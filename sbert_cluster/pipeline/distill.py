"""Make a static student of a model, and measure it on texts that it was not trained on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from sbert_cluster.corpus.texts import texts_of
from sbert_cluster.duplicates.ladder import units_of_texts
from sbert_cluster.encoder.bags import Bags
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.encoder.static import averages, save_static
from sbert_cluster.encoder.tokens import load_tokenizer
from sbert_cluster.errors import UsageError
from sbert_cluster.meter import Stopwatch, peak_memory_bytes, versions
from sbert_cluster.neighbors.join import find_pairs
from sbert_cluster.neighbors.search import find_nearest
from sbert_cluster.options import ReadOptions
from sbert_cluster.pipeline.inputs import Inputs, describe_inputs, open_encoder, read_inputs
from sbert_cluster.pipeline.shared import Shared, check_names, encode_options, read_options
from sbert_cluster.pipeline.student import draft_student, quick_encoder
from sbert_cluster.progress import Progress, silent
from sbert_cluster.runs import new_run_folder, refuse_existing, write_manifest
from sbert_cluster.training.distill import Recipe, train_table
from sbert_cluster.training.saving import write_settings
from sbert_cluster.types import Corpus, Rows, RunManifest, Vectors

MOST_ROWS = 200_000
"""Texts that the teacher reads, unless told otherwise."""
_HELD_OUT = 0.2
"""Share of them that only measures."""
_THRESHOLDS = (0.9, 0.8)
_RECALLS = (0.95, 0.99)
_FEW_PAIRS = 50
"""Pairs below which a share of them says nothing."""
_ALIKE = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
"""Similarities of untrained students from which rows are worth training on."""
_LOOKED_AT = 60_000
"""Texts among which those are looked for at most."""


@dataclass(frozen=True)
class DistillResult:
    """A student that was written."""

    folder: Path
    """Where."""
    measures: dict[str, float]
    """On texts held out; empty where there were none."""
    manifest: RunManifest
    """Everything else."""


def distill(
    inputs: Inputs | None = None,
    *,
    output: str | Path,
    rows: int = MOST_ROWS,
    steps: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = silent,
    **shared: Unpack[Shared],
) -> DistillResult:
    """Make a static student: token vectors whose average comes near the model's vector of a text.

    Args:
        inputs: Texts to train on; None: the student is made from the model's vocabulary alone.
        output: Folder of the student; it opens here (``--model``) and in sentence-transformers.
        rows: Texts that the model reads at most, at least 1; a fifth of them only measures.
        steps: Steps of training; None: as many as pay for so many texts.
        seed: Of every random choice.
        overwrite: Whether an existing student may be replaced.
        progress: Told how far each part is.
        **shared: See :class:`~sbert_cluster.pipeline.shared.Shared`; ``model`` is the teacher.

    Raises:
        UsageError: For an input or option that cannot be used.
        ModelError: For a model that cannot be used.
        RunFolderError: If the student cannot be written.
    """
    check_names("distill", shared)
    if rows < 1:
        raise UsageError(f"--rows {rows} is below 1", f"Try {MOST_ROWS}.")
    target, watch = Path(output), Stopwatch("read", "encode", "train", "measure", "write")
    refuse_existing(target, overwrite=overwrite)
    encoder = open_encoder(ReadOptions(), encode_options(shared), progress)
    assert encoder
    if encoder.checkpoint.is_static:
        raise UsageError(
            f"model {encoder.fingerprint.name!r} is static already", "Name another --model."
        )
    with watch.stage("read"):
        corpus = None if inputs is None else read_inputs(inputs, read_options(shared), progress)
        texts = [] if corpus is None else _distinct(corpus)
    job = _Job(quick_encoder(encoder), texts, rows, steps, seed, progress, watch)
    table, measures, trained = job.run()
    card = _card(encoder.fingerprint.name, trained, measures)
    with watch.stage("write"), new_run_folder(target, overwrite=overwrite) as folder:
        save_static(folder, load_tokenizer(encoder.checkpoint), table, card)
        write_settings(folder, {"base": encoder.fingerprint.name})
        place = job.encoder.place
        manifest = RunManifest(
            command="distill",
            arguments={"model": encoder.fingerprint.name, "rows": rows, "steps": steps}
            | {"seed": seed},
            input={} if corpus is None else describe_inputs(corpus),
            model=asdict(encoder.fingerprint),
            device=place.device,
            precision=str(place.precision),
            counts={"texts": len(texts), "trained_on": trained, "tokens": len(table)},
            search={},
            timings_s=watch.read(),
            peak_memory_bytes=peak_memory_bytes(),
            versions=versions(),
            extra={"held_out": measures},
        )
        write_manifest(folder, manifest)
    progress("writing", 1, 1, "models")
    return DistillResult(target, measures, manifest)


def _distinct(corpus: Corpus) -> list[str]:
    texts = texts_of(corpus)
    return [texts[row] for row in units_of_texts(texts).first.tolist()]


@dataclass(frozen=True)
class _Job:
    """One student."""

    encoder: Encoder
    texts: list[str]
    rows: int
    steps: int | None
    seed: int
    progress: Progress
    watch: Stopwatch

    def run(self) -> tuple[Vectors, dict[str, float], int]:
        """Token vectors, what texts held out show, and the number of texts trained on."""
        with self.watch.stage("encode"):
            bags, _ = self.encoder.bags(self.texts, self.progress)
            draft = draft_student(self.encoder, bags, self.progress)
            if not self.texts:
                return draft, {}, 0
            order = np.random.default_rng((self.seed, 2)).permutation(len(self.texts))
            wanted = min(self.rows, len(order))
            held = np.sort(order[: round(_HELD_OUT * wanted)])
            free = np.sort(order[len(held) :])
            of_free = averages(draft, bags.take(free))
            chosen = free[rows_to_train_on(of_free, wanted - len(held), self.seed)]
            targets = self._read(chosen)
        recipe = recipe_for(len(chosen), self.steps, self.seed)
        with self.watch.stage("train"):
            table = train_table(draft, bags.take(chosen), targets, recipe, self.progress)
        with self.watch.stage("measure"):
            measures = measured(table, bags.take(held), self._read(held))
        return table, measures, len(chosen)

    def _read(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Vectors:
        texts = [self.texts[row] for row in rows.tolist()]
        return self.encoder.encode(texts, self.progress).vectors


def rows_to_train_on(vectors: Vectors, count: int, seed: int) -> Rows:
    """Half of them have a look-alike by an untrained student, if so many do; others at random.

    Pairs that the teacher finds similar are far too rare to meet at random; and what looks alike
    without being so is what the student has to unlearn.

    Args:
        vectors: float32[n, d], the untrained student's.
        count: How many rows.
        seed: Of the draw.

    Returns:
        int64[m], rising: all n, or m = count.
    """
    if count >= len(vectors):
        return np.arange(len(vectors))
    random = np.random.default_rng(seed)
    order = random.permutation(len(vectors))
    among = np.sort(random.permutation(len(vectors))[:_LOOKED_AT])
    alike = np.empty(0, np.int64)
    for cut in _ALIKE:
        pairs = find_pairs(vectors[among], cut).pairs
        alike = np.unique(np.concatenate([pairs.left, pairs.right]))
        if len(alike) >= count // 2:
            break
    chosen = among[random.permutation(alike)[: count // 2]]
    others = order[~np.isin(order, chosen)]
    return np.sort(np.concatenate([chosen, others[: count - len(chosen)]]))


def recipe_for(rows: int, steps: int | None = None, seed: int = 0) -> Recipe:
    """How a student is trained on so many texts.

    Args:
        rows: Texts that it is trained on.
        steps: Steps of training; None: as many as pay. More overfit few texts, and change little
            for many.
        seed: Of the batches.
    """
    return Recipe(steps=min(600, max(50, rows // 100)) if steps is None else steps, seed=seed)


def measured(
    table: Vectors, bags: Bags, teacher: Vectors, recalls: tuple[float, ...] = _RECALLS
) -> dict[str, float]:
    """How near a student comes to its teacher on some texts.

    Args:
        table: float32[v, d], the student's.
        bags: n texts.
        teacher: float32[n, d], unit vectors.
        recalls: Shares of the pairs that are to be found.

    Returns:
        ``cosine``: mean cosine of the two vectors of a text. ``rows_stay_0.99_at_0.9`` and the
        like: of texts, the share that has to be read so that 0.99 of the pairs which the teacher
        finds at 0.9 are found (where there are pairs enough to tell).
    """
    if not len(bags):
        return {}
    student = averages(table, bags)
    made = {"cosine": float(np.einsum("ij,ij->i", student, teacher).mean())}
    # A row has to be read from the level of its nearest row on, a pair's rows from the lower one.
    nearest = find_nearest(student, student, 1, same=True).similarity[:, 0]
    for threshold in _THRESHOLDS:
        pairs = find_pairs(teacher, threshold).pairs
        levels = np.minimum(nearest[pairs.left], nearest[pairs.right])
        for recall in recalls if len(pairs) >= _FEW_PAIRS else ():
            level = np.quantile(levels, 1 - recall, method="lower")
            made[f"rows_stay_{recall:g}_at_{threshold:g}"] = float((nearest >= level).mean())
    return made


def _card(teacher: str, trained: int, measures: dict[str, Any]) -> str:
    lines = [
        "# A static student",
        "",
        f"Token vectors whose average comes near the vectors of {teacher}, made by "
        "`sbert-cluster distill`. It opens in sentence-transformers and with `--model`.",
        "",
        f"Trained on {trained:,} texts."
        if trained
        else "Made from the vocabulary alone, without training.",
    ]
    if measures:
        lines += ["", "On texts held out:", ""]
        lines += [f"- {name}: {value:.3f}" for name, value in measures.items()]
    return "\n".join([*lines, ""])
