"""A training that is killed goes on from its checkpoint, and ends as if nothing had happened."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from sbert_cluster.errors import RunFolderError
from sbert_cluster.training.checkpoints import Checkpoints, Saved
from sbert_cluster.training.recipe import Objective, Recipe
from sbert_cluster.training.split import meanings
from sbert_cluster.training.tasks import Task
from sbert_cluster.training.trainer import Trainer

WORKER = Path(__file__).parent / "train_worker.py"


def work(labels, output, model, epochs="6", last=""):
    """Run the worker; returns how it ended."""
    words = [sys.executable, str(WORKER), str(labels), str(output), str(model), epochs, last]
    return subprocess.run(words, capture_output=True, text=True)


def assert_same_weights(one, other):
    """Bit for bit."""
    one, other = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_resume_after_a_kill_gives_the_same_weights(tmp_path, sample_data, tiny_model):
    """Killed between two checkpoints, the same command gives the unbroken run's bytes."""
    labels = sample_data / "labelled_pairs.csv"
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = work(labels, whole, tiny_model)
    assert done.returncode == 0, done.stderr
    steps = json.loads((whole / "run.json").read_text())["looks"][-1]["steps"]
    killed = work(labels, broken, tiny_model, last=f"11/{steps}")
    assert killed.returncode == -signal.SIGKILL
    left = list((tmp_path / "broken.training" / "seed-0").iterdir())
    assert [folder.name for folder in left] == ["step-000000009"]
    done = work(labels, broken, tiny_model)
    assert done.returncode == 0, done.stderr
    assert_same_weights(whole, broken)
    one, before = (load_file(folder / "model.safetensors") for folder in (whole, tiny_model))
    assert any(not torch.equal(one[name], before[name]) for name in one)
    assert not (tmp_path / "broken.training").exists()


def test_a_kill_while_learning_where_duplicates_are_common(tmp_path, sample_data, tiny_model):
    """What was trained before that is not trained again."""
    pairs = pl.read_csv(sample_data / "labelled_pairs.csv")
    differ = pairs.filter(pl.col("label") == 0).head(12)
    labels = tmp_path / "lopsided.csv"
    pl.concat([differ, pairs.filter(pl.col("label") == 1)]).write_csv(labels)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = work(labels, whole, tiny_model, "auto")
    assert done.returncode == 0, done.stderr
    looks = json.loads((whole / "run.json").read_text())["looks"]
    first = looks[0]["steps"]
    second = looks[-1]["steps"] - first
    assert second > 6
    killed = work(labels, broken, tiny_model, "auto", f"5/{second}")
    assert killed.returncode == -signal.SIGKILL
    left = {path.name: sorted(p.name for p in path.iterdir()) for path in _seeds(broken)}
    assert left == {
        "seed-0": [f"step-{first:09}"],
        "seed-0-prevalence": ["step-000000003"],
    }
    done = work(labels, broken, tiny_model, "auto")
    assert done.returncode == 0, done.stderr
    assert_same_weights(whole, broken)
    again = json.loads((broken / "run.json").read_text())
    assert again["looks"] == looks
    assert not (tmp_path / "broken.training").exists()


def _seeds(output):
    return sorted(output.with_name(f"{output.name}.training").iterdir())


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
