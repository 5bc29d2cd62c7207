"""A training that is killed goes on from its checkpoint, and ends as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sbert_cluster.errors import RunFolderError
from sbert_cluster.training.checkpoints import Checkpoints, Saved

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
