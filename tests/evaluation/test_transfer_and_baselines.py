"""Vectors as features, and what a model has to beat."""

from __future__ import annotations

import numpy as np
import pytest

from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.errors import InputError
from sbert_cluster.evaluation.baselines import pooled_otherwise, tf_idf, word_vectors
from sbert_cluster.evaluation.transfer import cross_validated, of_pairs, train_and_test
from sbert_cluster.options import EncodeOptions
from sbert_cluster.progress import silent

TEXTS = ["the red cat", "a red cat!", "blue skies above", "nothing known"]


def test_classes_that_vectors_tell_apart_are_learned():
    """Perfect features give 1, noise gives chance."""
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, 300)
    features = np.eye(3, dtype=np.float32)[classes]
    assert cross_validated(features, classes).accuracy == 1
    noise = random.normal(size=(300, 5)).astype(np.float32)
    assert cross_validated(noise, classes).accuracy == pytest.approx(1 / 3, abs=0.12)
    is_test = np.arange(300) >= 200
    made = train_and_test(features, classes, is_test)
    assert (made.accuracy, made.rows) == (1, 100)


def test_a_rare_class_is_told():
    """Ten folds need ten rows of each class."""
    with pytest.raises(InputError, match="3 rows, for 10 folds"):
        cross_validated(np.ones((30, 2), np.float32), np.array([0] * 27 + [1] * 3))


def test_features_of_a_pair():
    """|u − v| and u * v."""
    u, v = np.array([[1.0, -2.0]], np.float32), np.array([[3.0, 1.0]], np.float32)
    assert of_pairs(u, v).tolist() == [[2, 3, 3, -2]]


def test_tf_idf_knows_words_only():
    """Two texts with the same words are near each other."""
    made = tf_idf(TEXTS)
    similar = made @ made.T
    assert similar[0, 1] > similar[0, 2]


@pytest.mark.parametrize("header", ["", "4 2\n"])
def test_word_vectors_are_averaged(tmp_path, header):
    """In the format of GloVe, and of word2vec, whose first line tells sizes."""
    path = tmp_path / "vectors.txt"
    path.write_text(f"{header}red 1 0\ncat 0 1\nblue 2 2\nunused 9 9\n")
    made = word_vectors(TEXTS, path)
    assert made.tolist() == [[0.5, 0.5], [0.5, 0.5], [2, 2], [0, 0]]
    (tmp_path / "none.txt").write_text("zebra 1 2\n")
    with pytest.raises(InputError, match="no word"):
        word_vectors(TEXTS, tmp_path / "none.txt")


def test_the_same_weights_pooled_otherwise(tiny_model):
    """The model's own pooling gives the model's own vectors; another one gives others."""
    options = EncodeOptions(model=str(tiny_model), use_cache=False)
    own = Encoder.open(options).encode(TEXTS).vectors
    assert np.allclose(pooled_otherwise(TEXTS, options, "mean", silent), own, atol=1e-6)
    assert not np.allclose(pooled_otherwise(TEXTS, options, "cls", silent), own, atol=1e-2)
