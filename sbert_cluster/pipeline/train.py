"""Fine-tune a model on label files, measure it before and after, and save it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sbert_cluster.encoder.checkpoint import Checkpoint, open_checkpoint
from sbert_cluster.errors import UsageError
from sbert_cluster.evaluation.calibration import Calibration, calibrate
from sbert_cluster.evaluation.pairs import gain_in_average_precision
from sbert_cluster.evaluation.sts import row_cosines
from sbert_cluster.meter import Stopwatch, peak_memory_bytes, versions
from sbert_cluster.options import DEFAULT_MODEL, EncodeOptions, Precision, ReadOptions
from sbert_cluster.pipeline.cross import CrossJob
from sbert_cluster.pipeline.labels import LabelColumns, LabelInputs, read_label_files
from sbert_cluster.pipeline.material import Material, Request, Tell, TrainResult, prepare, said_look
from sbert_cluster.progress import Progress, silent
from sbert_cluster.runs import new_run_folder, refuse_existing, write_manifest
from sbert_cluster.training.card import BeforeAfter, Facts, render_card
from sbert_cluster.training.checkpoints import Checkpoints
from sbert_cluster.training.examples import Labelled, read_examples, texts_of_rows
from sbert_cluster.training.judging import among_all, columns_of, mean_judgement, measures
from sbert_cluster.training.network import Network, Shape, choose_training_place
from sbert_cluster.training.recipe import Kind, Objective, Recipe
from sbert_cluster.training.saving import save_model, write_seen
from sbert_cluster.training.tasks import Task
from sbert_cluster.training.trainer import Course, Trainer, usual_rate
from sbert_cluster.types import RunManifest, Vectors


def train(
    labels: LabelInputs,
    *,
    output: str | Path,
    model: str = DEFAULT_MODEL,
    recipe: Recipe | None = None,
    columns: LabelColumns | None = None,
    dev: LabelInputs | None = None,
    dev_where: Sequence[str] = (),
    negatives_from: Sequence[str] = (),
    guard: str | None = None,
    teacher: str | None = None,
    cross_encoder: bool = False,
    seeds: int = 1,
    average: bool = False,
    device: str = "auto",
    precision: str = Precision.AUTO,
    target_precision: float | None = None,
    checkpoint_every: int | None = None,
    read: ReadOptions | None = None,
    cache_dir: str | Path | None = None,
    cache: bool = True,
    overwrite: bool = False,
    progress: Progress = silent,
    tell: Tell = lambda _: None,
) -> TrainResult:
    """Fine-tune a model.

    Args:
        labels: Label files (pairs with 0 and 1, pairs with scores, NLI labels, triplets, pairs
            without labels, or texts alone); several are trained on at once.
        output: Folder of the new model, in the sentence-transformers layout.
        model: What to start from: bundled name, model folder or hub id.
        recipe: How to train; None: what fits the files.
        columns: Which columns and rows of the files count; None: found by their names.
        dev: Label files to choose the best weights and to measure by, instead of rows held out;
            rows of ``labels`` that share a text with them are left out.
        dev_where: ``COLUMN=VALUE``: which rows of ``dev`` count.
        negatives_from: Texts among which hard negatives are looked for as well.
        guard: Folder of a cross-encoder that drops hard negatives which mean the same.
        teacher: A model whose judgement replaces the labels (distillation).
        cross_encoder: Train a cross-encoder, for ``dedup --rerank``, instead of an encoder.
        seeds: How many trainings with different seeds; the best of them is saved.
        average: Save the mean of their weights instead.
        device: As for ``dedup``.
        precision: ``auto`` (bf16 where it is native), ``fp32`` or ``bf16``.
        target_precision: Of the threshold that is stored with the model, among all pairs of the
            texts held out; None: the best F1.
        checkpoint_every: Steps between two checkpoints; None: as many as between two looks at the
            held-out rows.
        read: Format and encoding of the files; None: found by themselves.
        cache_dir: Folder of the embedding cache, for mining; None: the user's.
        cache: Whether vectors are looked up in and added to the cache.
        overwrite: Whether an existing model may be replaced, and a training that was cut off be
            thrown away.
        progress: Told how far each stage is.
        tell: Told what is found in the files, and each look at the held-out rows.

    Returns:
        Measures, threshold and manifest; the model is in ``output``.

    Raises:
        UsageError: For files or options that cannot be used.
        ModelError: For a model that cannot be used.
        RunFolderError: If the model cannot be written.
    """
    place = choose_training_place(device, Precision(precision))
    encode = EncodeOptions(
        model=model,
        device=device,
        precision=place.precision,
        cache_dir=Path(cache_dir) if cache_dir else None,
        use_cache=cache,
    )
    kind = CrossJob if cross_encoder else _Job
    job = kind(
        output=Path(output),
        recipe=recipe or Recipe(),
        encode=encode,
        place=place,
        guard=guard,
        teacher=teacher,
        target_precision=target_precision,
        average=average,
        every=checkpoint_every,
        overwrite=overwrite,
        progress=progress,
        tell=tell,
    )
    refuse_existing(job.output, overwrite=overwrite)
    _check_average(job, seeds, cross_encoder=cross_encoder)
    watch = Stopwatch("read", "mine", "train", "measure", "write")
    with watch.stage("read"):
        columns, read = columns or LabelColumns(), read or ReadOptions()
        files = read_label_files(labels, columns, read, progress)
        judging = replace(columns, where=tuple(dev_where))
        held = read_label_files(dev, judging, read, progress) if dev is not None else []
        labelled = read_examples([*files, *held])
    for note in labelled.notes:
        tell(note)
    return job.run(labelled, len(held), tuple(negatives_from), max(1, seeds), watch)


def _check_average(job: Request, seeds: int, *, cross_encoder: bool) -> None:
    if not job.average:
        return
    if seeds < 2 or cross_encoder:
        raise UsageError(
            "--average is for several trainings of an encoder", "Add --seeds 3, or leave it out."
        )
    if job.recipe.lora:
        raise UsageError(
            "--average does not go with --lora: the mean of two adapters is not the adapter of "
            "the mean",
            "Leave one of them out.",
        )


@dataclass(frozen=True)
class _Run:
    """One seed's result, or that of the mean of their weights."""

    network: Network
    before: list[list[Vectors]]
    """Of the rows that measure, by the model that training started from."""
    course: Course
    held_out: tuple[BeforeAfter, ...]
    calibration: Calibration | None


@dataclass(frozen=True, kw_only=True)
class _Job(Request):
    """One training of an encoder."""

    def run(
        self, labelled: Labelled, given: int, corpus: Sequence[str], seeds: int, watch: Stopwatch
    ) -> TrainResult:
        checkpoint = open_checkpoint(self.encode.model)
        with watch.stage("mine"):
            material = prepare(self, checkpoint, labelled, given, corpus)
        if self.overwrite:
            Checkpoints(self.work, "").clear()
        runs = []
        for seed in range(self.recipe.seed, self.recipe.seed + seeds):
            runs.append(self._train(checkpoint, material, seed, watch))
        # max keeps the first of equals: without anything to choose by, that is the first seed.
        best = max(runs, key=lambda run: run.course.best.score or 0 if run.course.best else 0)
        if self.average:
            with watch.stage("measure"):
                best = self._averaged(best, runs, material)
        with watch.stage("write"):
            result = self._write(best, runs, material, labelled, watch)
        Checkpoints(self.work, "").clear()
        return result

    def _train(
        self, checkpoint: Checkpoint, material: Material, seed: int, watch: Stopwatch
    ) -> _Run:
        recipe, parts = replace(self.recipe, seed=seed), material.parts
        pooling = (str(recipe.pooling),) if recipe.pooling else checkpoint.pooling
        network = Network(checkpoint, self.place, _shape(pooling, recipe, material))
        network.read(material.texts)
        meaning, lengths = material.meaning, network.lengths()
        tasks = []
        chosen = zip(parts.train.sets, material.objectives, material.likeness, strict=True)
        for examples, objectives, alike in chosen:
            mined = material.negatives
            tasks.append(Task(examples, objectives, recipe, meaning, lengths, mined, alike))
            tasks[-1].targets = material.targets
            if tasks[-1].passed_over and seed == self.recipe.seed:
                self.tell(_said_passed_over(tasks[-1]))
        checkpoints = Checkpoints(self.work / f"seed-{seed}", material.identity)
        with watch.stage("measure"):
            before = _vectors_of(parts.test, network)
        trainer = Trainer(
            network,
            tasks,
            recipe,
            judge=_judge_by(parts.stop, network),
            checkpoints=checkpoints,
            every=self.every,
            progress=self.progress,
            tell=lambda look: self.tell(said_look(look)),
        )
        with watch.stage("train"):
            course = trainer.run()
        with watch.stage("measure"):
            after = _vectors_of(parts.test, network)
            held_out = _compared(parts.test, before, after)
            calibration = self._calibrated(parts.test, network)
        return _Run(network, before, course, held_out, calibration)

    def _averaged(self, best: _Run, runs: Sequence[_Run], material: Material) -> _Run:
        """The mean of all weights (Wortsman et al. 2022, "Model soups", section 2: uniform)."""
        import torch

        test, network = material.parts.test, best.network
        own = [run.network.parameters() for run in runs]
        with torch.no_grad():
            for name, weight in network.parameters().items():
                weight.copy_(torch.stack([weights[name] for weights in own]).mean(0))
        held_out = _compared(test, best.before, _vectors_of(test, network))
        self.tell(f"the mean of the weights of {len(runs)} trainings is saved")
        return replace(best, held_out=held_out, calibration=self._calibrated(test, network))

    def _calibrated(self, test: Labelled | None, network: Network) -> Calibration | None:
        """The threshold for the first file of 0/1 labels, if there is one."""
        for examples in test.sets if test else ():
            if test and examples.kind is Kind.LABELS and 0 < examples.labels.mean() < 1:
                scores, truth = among_all(
                    test, examples, lambda rows: network.vectors(rows, exact=True)
                )
                return calibrate(scores, truth, self.target_precision, samples=200)
        return None

    def _write(
        self,
        best: _Run,
        runs: Sequence[_Run],
        material: Material,
        labelled: Labelled,
        watch: Stopwatch,
    ) -> TrainResult:
        facts = Facts(
            base=self.encode.model,
            data=[f"{e.name}: {e.said()}, trained on" for e in material.parts.train.sets]
            + [f"{e.file}: {e.rows:,} rows held out" for e in best.held_out],
            recipe=self._said_recipe(best, material),
            held_out=best.held_out,
            calibration=best.calibration,
            notes=_said_seeds(runs),
        )
        settings: dict[str, Any] = {"base": self.encode.model}
        if best.calibration:
            settings["calibration"] = best.calibration.to_dict()
        with new_run_folder(self.output, overwrite=self.overwrite) as folder:
            save_model(best.network, folder, render_card(facts), settings)
            train = material.parts.train
            write_seen(folder, [row for e in train.sets for row in texts_of_rows(train, e)])
            manifest = self._manifest(best, runs, material, labelled, watch)
            write_manifest(folder, manifest)
        return TrainResult(self.output, best.course, best.held_out, best.calibration, manifest)

    def _said_recipe(self, run: _Run, material: Material) -> dict[str, Any]:
        recipe = {k: v for k, v in asdict(self.recipe).items() if v is not None}
        if self.average:
            recipe["averaged"] = "weights of all seeds"
        recipe["objective"] = "; ".join(" + ".join(chosen) for chosen in material.objectives)
        recipe["learning_rate"] = self.recipe.learning_rate or usual_rate(run.network.checkpoint)
        return {**recipe, "steps": run.course.done, "precision": str(self.place.precision)}

    def _manifest(
        self,
        best: _Run,
        runs: Sequence[_Run],
        material: Material,
        labelled: Labelled,
        watch: Stopwatch,
    ) -> RunManifest:
        train = material.parts.train.sets
        return RunManifest(
            command="train",
            arguments={"model": self.encode.model, **self._said_recipe(best, material)},
            input={"files": [e.name for e in labelled.sets], "rows": sum(map(len, labelled.sets))},
            model=asdict(open_checkpoint(self.encode.model).fingerprint),
            device=self.place.device,
            precision=str(self.place.precision),
            counts={"rows": sum(map(len, train)), "texts": len(material.texts)},
            search={},
            timings_s=watch.read(),
            peak_memory_bytes=peak_memory_bytes(),
            versions=versions(),
            notes=labelled.notes,
            extra={
                "held_out": [asdict(one) for one in best.held_out],
                "calibration": best.calibration.to_dict() if best.calibration else None,
                "looks": [asdict(look) for look in best.course.looks],
                "seeds": [[one.after for one in run.held_out] for run in runs],
            },
        )


def _shape(pooling: tuple[str, ...], recipe: Recipe, material: Material) -> Shape:
    noise = any(Objective.SIMCSE in chosen for chosen in material.objectives)
    dropout = None if noise and recipe.dropout is None else recipe.dropout or 0.0
    return Shape(pooling, recipe.freeze, recipe.lora, dropout)


def _said_passed_over(task: Task) -> str:
    return (
        f"{task.examples.name}: there is time for {task.positives - task.passed_over:,} of "
        f"{task.positives:,} pairs that mean the same; those that look unlike are drawn sooner "
        "(--epochs 1 uses all)"
    )


def _judge_by(stop: Labelled | None, network: Network) -> Callable[[], float] | None:
    """A judge by the held-out rows; None where they cannot judge."""
    if stop is None or mean_judgement(stop, network.vectors) is None:
        return None
    return lambda: mean_judgement(stop, network.vectors) or 0.0


def _vectors_of(test: Labelled | None, network: Network) -> list[list[Vectors]]:
    """Vectors of each column of each held-out file, in fp32."""
    if test is None:
        return []
    return [columns_of(e, lambda rows: network.vectors(rows, exact=True)) for e in test.sets]


def _compared(
    test: Labelled | None, before: list[list[Vectors]], after: list[list[Vectors]]
) -> tuple[BeforeAfter, ...]:
    made = []
    for examples, old, new in zip(test.sets if test else (), before, after, strict=True):
        if examples.kind is Kind.TEXTS or not len(examples):
            continue
        gain = None
        if examples.kind is Kind.LABELS:
            truth = examples.labels > 0.5
            if truth.all() or not truth.any():
                continue
            gain = gain_in_average_precision(row_cosines(*old), row_cosines(*new), truth)
        both = (measures(examples, old), measures(examples, new))
        made.append(BeforeAfter(examples.name, len(examples), *both, gain))
    return tuple(made)


def _said_seeds(runs: Sequence[_Run]) -> list[str]:
    """Mean and standard deviation over seeds, as the paper gives them."""
    if len(runs) < 2:
        return []
    notes = []
    for place, one in enumerate(runs[0].held_out):
        for name in one.after:
            values = [run.held_out[place].after[name] for run in runs]
            notes.append(
                f"{one.file}, {name}: {np.mean(values):.4g} ± {np.std(values, ddof=1):.2g} "
                f"(mean ± standard deviation of {len(runs)} seeds)"
            )
    return notes
