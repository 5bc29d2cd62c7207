"""A training that is killed goes on from its checkpoint, and ends as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sbert_cluster import pipeline
from sbert_cluster.errors import RunFolderError
from sbert_cluster.training.checkpoints import Checkpoints, Saved
from sbert_cluster.training.recipe import Objective, Recipe
from sbert_cluster.training.split import meanings
from sbert_cluster.training.tasks import Task
from sbert_cluster.training.trainer import Trainer

WORKER = Path(__file__).parent / "train_worker.py"


def work(sample_data, output, model, last=""):
    """Run the worker; returns how it ended."""
    words = [sys.executable, str(WORKER), str(sample_data / "labelled_pairs.csv"), str(output)]
    return subprocess.run([*words, str(model), last], capture_output=True, text=True)


def test_resume_after_a_kill_gives_the_same_weights(tmp_path, sample_data, tiny_model):
    """Killed between two checkpoints, the same command gives the unbroken run's bytes."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = work(sample_data, whole, tiny_model)
    assert done.returncode == 0, done.stderr
    assert work(sample_data, broken, tiny_model, "11").returncode == -signal.SIGKILL
    left = list((tmp_path / "broken.training" / "seed-0").iterdir())
    assert [folder.name for folder in left] == ["step-000000009"]
    done = work(sample_data, broken, tiny_model)
    assert done.returncode == 0, done.stderr
    one, other = (load_file(folder / "model.safetensors") for folder in (whole, broken))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    before = load_file(tiny_model / "model.safetensors")
    assert any(not torch.equal(one[name], before[name]) for name in one)
    assert not (tmp_path / "broken.training").exists()


def test_a_finished_training_is_not_repeated(tmp_path, labelled, network):
    """Where several follow one another, a kill costs only the one that it hits."""
    recipe = Recipe(epochs=1, learning_rate=1e-3)
    looks = []

    def train(judge):
        made = network(labelled.texts)
        meaning = meanings(labelled.texts, labelled.sets)
        chosen = (Objective.RANKING, Objective.COSENT)
        task = Task(labelled.sets[0], chosen, recipe, meaning, made.lengths())
        checkpoints = Checkpoints(tmp_path / "work", "one")
        course = Trainer(made, [task], recipe, judge=judge, checkpoints=checkpoints).run()
        return course, made.parameters()

    # The first look is the best: neither the last weights nor the best ones may be mixed up.
    scores = iter(range(100, 0, -1))
    course, weights = train(lambda: float(next(scores)))
    again, same = train(lambda: looks.append(1) or 0.0)
    assert again == course
    assert not looks
    assert all(torch.equal(same[name], weight) for name, weight in weights.items())


def test_no_checkpoint_is_written_over(tmp_path, labelled, network):
    """While one takes another's place neither is there, so no step is saved twice."""

    class Noted(Checkpoints):
        steps: list[int] = []  # noqa: RUF012 - of this test alone

        def save(self, step, saved):
            self.steps.append(step)
            super().save(step, saved)

    recipe = Recipe(epochs=10, looks=10, patience=2, learning_rate=1e-3)
    made = network(labelled.texts)
    meaning = meanings(labelled.texts, labelled.sets)
    task = Task(labelled.sets[0], (Objective.COSENT,), recipe, meaning, made.lengths())
    scores = iter(range(100, 0, -1))
    course = Trainer(
        made,
        [task],
        recipe,
        judge=lambda: float(next(scores)),
        checkpoints=Noted(tmp_path / "work", "one"),
        every=1,
    ).run()
    assert course.done < course.steps
    assert Noted.steps == list(range(1, course.done + 1))


def test_a_kill_costs_only_the_seed_that_it_hits(tmp_path, sample_data, tiny_model):
    """Those that were done are not trained again."""
    seen = []

    def train(stop_at=None):
        def progress(stage, done, total, *_):
            if stage == "training":
                seen.append((done, total))
                if seen.count((0, total)) == stop_at and done == 2:
                    raise KeyboardInterrupt

        return pipeline.train(
            str(sample_data / "labelled_pairs.csv"),
            output=tmp_path / "model",
            model=str(tiny_model),
            recipe=Recipe(epochs=1, learning_rate=1e-3),
            seeds=2,
            checkpoint_every=1,
            cache=False,
            progress=progress,
        )

    with pytest.raises(KeyboardInterrupt):
        train(stop_at=2)
    steps = seen[-1][1]
    assert seen.count((0, steps)) == 2
    seen.clear()
    result = train()
    # The first seed begins at its end, the second where it was.
    assert seen[0] == (steps, steps)
    assert (2, steps) in seen
    assert (0, steps) not in seen
    assert result.course.done == steps
    assert not (tmp_path / "model.training").exists()


def test_a_checkpoint_is_there_whole_or_not_at_all(tmp_path):
    """What a kill left half-written is never read; only the newest complete one is kept."""
    checkpoints = Checkpoints(tmp_path / "work", "one")
    assert checkpoints.load() is None
    for step in (3, 6):
        checkpoints.save(step, Saved({"step": step}, {"w": torch.full((2,), float(step))}))
    (tmp_path / "work" / ".step-9.tmp").mkdir()
    found = checkpoints.load()
    assert found
    assert found.state == {"step": 6}
    assert found.tensors["w"].tolist() == [6, 6]
    assert [p.name for p in (tmp_path / "work").glob("step-*")] == ["step-000000006"]


def test_the_checkpoint_of_another_training_is_refused(tmp_path):
    """Other data or options: going on would mix two trainings."""
    Checkpoints(tmp_path / "work", "one").save(1, Saved({"step": 1}, {"w": torch.zeros(1)}))
    with pytest.raises(RunFolderError, match="other data or options"):
        Checkpoints(tmp_path / "work", "two").load()
