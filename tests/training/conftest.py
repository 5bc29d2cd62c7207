"""Label files of every kind, and a network small enough to train in a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.device import Place
from sbert_cluster.options import Precision
from sbert_cluster.training.examples import LabelFile, read_examples
from sbert_cluster.training.network import Network, Shape

ROOT = Path(__file__).resolve().parent.parent.parent
CPU = Place("cpu", Precision.FP32, "tests")


@pytest.fixture
def network():
    """Makes networks of the tiny model."""

    def make(texts, **shape) -> Network:
        checkpoint = open_checkpoint(str(ROOT / "tests" / "data" / "tiny-model"))
        made = Network(checkpoint, CPU, Shape(checkpoint.pooling, **shape))
        made.read(texts)
        return made

    return make


@pytest.fixture
def labelled():
    """The sample's labelled pairs, read."""
    frame = pl.read_csv(ROOT / "sample_data" / "labelled_pairs.csv")
    return read_examples([LabelFile(frame)])


@pytest.fixture
def random():
    """A generator with a fixed seed."""
    return np.random.default_rng(5)
