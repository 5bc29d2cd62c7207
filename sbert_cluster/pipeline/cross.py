"""Train a cross-encoder, measure it beside the encoder it may rerank for, and save it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.errors import InputError, UsageError
from sbert_cluster.evaluation.pairs import (
    balanced_average_precision,
    gain_in_average_precision,
    score_pairs,
)
from sbert_cluster.evaluation.sts import row_cosines
from sbert_cluster.meter import Stopwatch, peak_memory_bytes, versions
from sbert_cluster.pipeline.material import Material, Request, TrainResult, prepare, said_look
from sbert_cluster.runs import new_run_folder, write_manifest
from sbert_cluster.training.blend import Blend, fit_blend
from sbert_cluster.training.card import BeforeAfter, Facts, render_card
from sbert_cluster.training.checkpoints import Checkpoints
from sbert_cluster.training.cross_encoder import BLEND, YES, CrossEncoder, PairTask
from sbert_cluster.training.examples import Examples, Labelled, texts_of_rows
from sbert_cluster.training.recipe import Kind, Objective
from sbert_cluster.training.saving import seen_by, write_settings
from sbert_cluster.training.tasks import Task
from sbert_cluster.training.trainer import Course, Trainer
from sbert_cluster.types import RunManifest

_SAID_BLEND = (
    "'after' weighs its answer with that encoder's similarity, as `dedup --rerank` does with that "
    "encoder; with another one it decides alone."
)


@dataclass(frozen=True, kw_only=True)
class CrossJob(Request):
    """One training of a cross-encoder."""

    def run(
        self, labelled: Labelled, given: int, corpus: Sequence[str], seeds: int, watch: Stopwatch
    ) -> TrainResult:
        """Train, measure and save.

        Raises:
            InputError: If the files are not pairs with 0 and 1.
        """
        if any(examples.kind is not Kind.LABELS for examples in labelled.sets):
            raise InputError(
                "a cross-encoder is trained on pairs with 0 and 1 here", "Give such files."
            )
        if seeds > 1:
            raise UsageError("--seeds is for encoders", "Train one cross-encoder at a time.")
        checkpoint = open_checkpoint(self.encode.model)
        with watch.stage("mine"):
            material = prepare(self, checkpoint, labelled, given, corpus)
        model = CrossEncoder(checkpoint, self.place, material.texts, self.recipe.seed)
        with watch.stage("train"):
            course = self._train(model, material)
        with watch.stage("measure"):
            blend = self._blended(model, material)
            held_out, yes_from = self._measured(model, material, blend)
        facts = Facts(
            base=self.encode.model,
            data=[f"{e.name}: {e.said()}, trained on" for e in material.parts.train.sets],
            recipe={"steps": course.done, "precision": str(self.place.precision)},
            held_out=held_out,
            calibration=None,
            notes=[
                "A cross-encoder; 'before' is the encoder that it started from.",
                *([_SAID_BLEND] if blend else []),
            ],
        )
        with watch.stage("write"), new_run_folder(self.output, overwrite=self.overwrite) as folder:
            model.save(folder, render_card(facts))
            if yes_from is not None:
                write_settings(folder, {YES: yes_from})
            if blend:
                write_settings(folder, {BLEND: blend.to_dict()})
            manifest = self._manifest(material, labelled, course, held_out, watch)
            write_manifest(folder, manifest)
        Checkpoints(self.work, "").clear()
        return TrainResult(self.output, course, held_out, None, manifest)

    def _train(self, model: CrossEncoder, material: Material) -> Course:
        meaning = material.meaning
        # The lengths decide which pairs go together; characters tell them well enough.
        lengths = np.array([len(text) for text in material.texts], np.int64)
        tasks = [
            PairTask(
                Task(e, (Objective.RANKING,), self.recipe, meaning, lengths, material.negatives),
                len(material.texts),
            )
            for e in material.parts.train.sets
        ]
        checkpoints = Checkpoints(self.work / f"seed-{self.recipe.seed}", material.identity)
        if self.overwrite:
            checkpoints.clear()
        return Trainer(
            model,
            tasks,
            self.recipe,
            judge=_judge_by(material.parts.stop, model),
            checkpoints=checkpoints,
            every=self.every,
            progress=self.progress,
            tell=lambda look: self.tell(said_look(look)),
        ).run()

    def _blended(self, model: CrossEncoder, material: Material) -> Blend | None:
        """Weights for both judges, from the rows that chose when to stop."""
        stop, checkpoint = material.parts.stop, open_checkpoint(self.encode.model)
        sets = [e for e in stop.sets if e.kind is Kind.LABELS] if stop else []
        if stop is None or not sets:
            return None
        # On rows that the encoder was trained on it looks better than it is.
        rows = [texts_of_rows(stop, e) for e in sets]
        fresh = [e.take(~seen_by(checkpoint.folder, r)) for e, r in zip(sets, rows, strict=True)]
        similarity = np.concatenate([self._similarity(stop, e) for e in fresh])
        answer = np.concatenate([_scores(model, stop, e) for e in fresh])
        truth = np.concatenate([e.labels > 0.5 for e in fresh])
        return fit_blend(checkpoint.fingerprint.sha256, similarity, answer, truth)

    @cached_property
    def _encoder(self) -> Encoder:
        """The one that the answers are weighed with."""
        return Encoder.open(self.encode)

    def _similarity(self, labelled: Labelled, examples: Examples) -> NDArray[np.float64]:
        left, right = ([labelled.texts[i] for i in column] for column in examples.rows.T)
        vectors = self._encoder.encode([*left, *right]).vectors
        return row_cosines(vectors[: len(left)], vectors[len(left) :])

    def _measured(
        self, model: CrossEncoder, material: Material, blend: Blend | None
    ) -> tuple[tuple[BeforeAfter, ...], float | None]:
        """Before and after, and from where the answer alone is best a yes in the first file."""
        test, made, yes_from = material.parts.test, [], None
        for examples in test.sets if test else ():
            truth = examples.labels > 0.5
            if test is None or truth.all() or not truth.any():
                continue
            before, after = self._similarity(test, examples), _scores(model, test, examples)
            if yes_from is None:
                yes_from = score_pairs(after, truth).best_threshold
            if blend:
                after = blend(before, after)
            both = [_measures(scores, truth) for scores in (before, after)]
            gain = gain_in_average_precision(before, after, truth)
            made.append(BeforeAfter(examples.name, len(examples), both[0], both[1], gain))
        return tuple(made), yes_from

    def _manifest(
        self,
        material: Material,
        labelled: Labelled,
        course: Course,
        held_out: tuple[BeforeAfter, ...],
        watch: Stopwatch,
    ) -> RunManifest:
        return RunManifest(
            command="train",
            arguments={"model": self.encode.model, "cross_encoder": True, **asdict(self.recipe)},
            input={"files": [e.name for e in labelled.sets], "rows": sum(map(len, labelled.sets))},
            model=asdict(open_checkpoint(self.encode.model).fingerprint),
            device=self.place.device,
            precision=str(self.place.precision),
            counts={"rows": sum(map(len, material.parts.train.sets))},
            search={},
            timings_s=watch.read(),
            peak_memory_bytes=peak_memory_bytes(),
            versions=versions(),
            notes=labelled.notes,
            extra={
                "held_out": [asdict(one) for one in held_out],
                "looks": [asdict(look) for look in course.looks],
            },
        )


def _measures(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> dict[str, float]:
    made = score_pairs(scores, truth)
    return {
        "average_precision": made.average_precision,
        "best_f1": made.best_f1,
        "best_threshold": made.best_threshold,
    }


def _scores(model: CrossEncoder, labelled: Labelled, examples: Examples) -> NDArray[np.float64]:
    texts = labelled.texts
    pairs = [(texts[i], texts[j]) for i, j in examples.rows.tolist()]
    return model.score(pairs).astype(np.float64)


def _judge_by(stop: Labelled | None, model: CrossEncoder) -> Callable[[], float] | None:
    sets = [e for e in stop.sets if 0 < e.labels.mean() < 1] if stop else []
    if stop is None or not sets:
        return None

    def judge() -> float:
        scored = [balanced_average_precision(_scores(model, stop, e), e.labels > 0.5) for e in sets]
        model.learning(True)
        return float(np.mean(scored))

    return judge
