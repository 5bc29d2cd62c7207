"""A teacher's judgement in the place of labels."""

from __future__ import annotations

import numpy as np
import pytest

from sbert_cluster import pipeline
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.errors import UsageError
from sbert_cluster.evaluation.sts import row_cosines
from sbert_cluster.options import EncodeOptions
from sbert_cluster.progress import silent
from sbert_cluster.training.examples import Examples, Labelled
from sbert_cluster.training.recipe import Kind, Recipe
from sbert_cluster.training.teaching import taught_by

TEXTS = ["where is my order", "where is the parcel", "a refund please", "money back", "hello"]


@pytest.fixture
def options(tiny_model):
    """The tiny model, without a cache."""
    return EncodeOptions(model=str(tiny_model), use_cache=False, device="cpu")


def test_pairs_get_the_teachers_cosines(options, tiny_model):
    """Not below 0; triplets get the difference of two."""
    vectors = Encoder.open(options).encode(TEXTS).vectors
    rows = np.array([[0, 1], [2, 3], [0, 4]])
    pairs = Examples(Kind.LABELS, rows, np.ones(3, np.float32))
    triplets = Examples(Kind.TRIPLETS, np.array([[0, 1, 4]]), np.ones(1, np.float32))
    taught = taught_by(str(tiny_model), Labelled(TEXTS, (pairs, triplets)), options, silent)
    cosine = row_cosines(vectors[rows[:, 0]], vectors[rows[:, 1]])
    assert taught.labelled.sets[0].kind is Kind.SCORES
    assert taught.labelled.sets[0].labels == pytest.approx(np.clip(cosine, 0, 1), abs=1e-6)
    assert taught.labelled.sets[1].labels == pytest.approx([cosine[0] - cosine[2]], abs=1e-6)
    assert taught.vectors is None


def test_texts_get_the_teachers_vectors(options, tiny_model):
    """One for each text."""
    texts = Examples(Kind.TEXTS, np.arange(5)[:, None], np.ones(5, np.float32))
    taught = taught_by(str(tiny_model), Labelled(TEXTS, (texts,)), options, silent)
    assert taught.vectors == pytest.approx(Encoder.open(options).encode(TEXTS).vectors, abs=1e-6)


def test_a_student_comes_nearer_to_its_teacher(tmp_path, sample_data, tiny_model):
    """Trained away from the teacher first, then taught by it on texts alone."""
    labels = str(sample_data / "labelled_pairs.csv")
    recipe = Recipe(objective="contrastive", epochs=1, learning_rate=5e-3)
    common = {"cache": False, "precision": "fp32"}
    away, student = tmp_path / "away", tmp_path / "student"
    pipeline.train(labels, output=away, model=str(tiny_model), recipe=recipe, **common)
    pipeline.train(
        str(sample_data / "questions.csv"),
        output=student,
        model=str(away),
        columns=pipeline.LabelColumns(("question",)),
        teacher=str(tiny_model),
        recipe=Recipe(objective="vectors", epochs=3, learning_rate=3e-3),
        **common,
    )
    made = [
        Encoder.open(EncodeOptions(model=str(m), use_cache=False)).encode(TEXTS).vectors
        for m in (tiny_model, away, student)
    ]
    far, near = (row_cosines(made[0], other).mean() for other in made[1:])
    assert near > far


def test_a_cross_encoder_makes_no_vectors(tmp_path, sample_data, tiny_model, options):
    """It is told what it can teach instead."""
    folder = tmp_path / "cross"
    pipeline.train(
        str(sample_data / "labelled_pairs.csv"),
        output=folder,
        model=str(tiny_model),
        recipe=Recipe(epochs=0.1),
        cross_encoder=True,
        cache=False,
    )
    texts = Examples(Kind.TEXTS, np.arange(5)[:, None], np.ones(5, np.float32))
    with pytest.raises(UsageError, match="makes no vectors"):
        taught_by(str(folder), Labelled(TEXTS, (texts,)), options, silent)
    pairs = Examples(Kind.LABELS, np.array([[0, 1]]), np.ones(1, np.float32))
    taught = taught_by(str(folder), Labelled(TEXTS, (pairs,)), options, silent)
    assert 0 <= taught.labelled.sets[0].labels[0] <= 1
