"""A student comes nearer to its teacher, above all where pairs are similar."""

import numpy as np
import pytest

from sbert_cluster.encoder.static import Bags, averages
from sbert_cluster.training.distill import SMOOTHING, Recipe, first_table, train_table


def test_the_first_table_is_centred_and_weighted_by_frequency():
    vocabulary = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    made = first_table(vocabulary, np.array([3, 1, 0]))
    share = np.array([0.75, 0.25, 0])
    wanted = (vocabulary - vocabulary.mean(0)) * (SMOOTHING / (SMOOTHING + share))[:, None]
    np.testing.assert_allclose(made, wanted, rtol=1e-6)
    # Without counts the first tokens are taken for the frequent ones.
    norms = np.linalg.norm(first_table(np.eye(4, dtype=np.float32)), axis=1)
    assert (np.diff(norms) > 0).all()


def _material(random, texts=1_500, tokens=300, width=16):
    """Texts, a quarter with a near copy, and a teacher that is no plain average."""
    hidden = random.normal(size=(tokens, width))
    importance = random.gamma(0.5, 2, tokens)
    rows = [random.integers(0, tokens - 1, random.integers(4, 9)) for _ in range(texts)]
    for row in range(texts // 4):
        rows[texts - 1 - row] = np.append(rows[row], random.integers(0, tokens - 1))
    bags = Bags.of(row.astype(np.int32) for row in rows)
    made = np.stack([np.tanh((hidden[row] * importance[row, None]).sum(0) / 3) for row in rows])
    vectors = made / np.linalg.norm(made, axis=1, keepdims=True)
    start = (hidden + random.normal(size=hidden.shape) / 2).astype(np.float32)
    return bags, vectors.astype(np.float32), start


def test_training_comes_nearer_on_texts_that_were_not_trained_on():
    bags, teacher, start = _material(np.random.default_rng(0))
    half = np.arange(0, len(bags), 2)
    table = train_table(start, bags.take(half), teacher[half], Recipe(steps=120, rate=0.05))
    unseen = np.arange(1, len(bags), 2)

    def nearness(of):
        student = averages(of, bags.take(unseen))
        wanted = teacher[unseen] @ teacher[unseen].T
        close = wanted > 0.7
        error = np.abs(student @ student.T - wanted)[close].mean()
        return np.einsum("ij,ij->i", student, teacher[unseen]).mean(), -error

    before, after = nearness(start), nearness(table)
    assert after[0] > before[0] + 0.05
    assert after[1] > before[1] + 0.02


def test_tokens_that_do_not_occur_stay_and_the_seed_decides():
    bags, teacher, start = _material(np.random.default_rng(1), texts=200)
    recipe = Recipe(steps=10)
    first, second = (train_table(start, bags, teacher, recipe) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(first[-1], start[-1])
    assert not np.array_equal(first[:-1], start[:-1])
    other = train_table(start, bags, teacher, Recipe(steps=10, seed=1))
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("texts", [0, 1])
def test_nothing_is_learnt_from_nothing(texts):
    table = np.ones((3, 2), np.float32)
    bags = Bags.of([np.array([1], np.int32)] * texts)
    assert train_table(table, bags, np.ones((texts, 2), np.float32), Recipe()) is table
