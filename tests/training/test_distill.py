"""A student comes nearer to its teacher, above all where pairs are similar."""

import numpy as np
import pytest

from sbert_cluster.encoder.bags import Bags
from sbert_cluster.encoder.static import averages
from sbert_cluster.training.distill import (
    SMOOTHING,
    Recipe,
    first_table,
    mapped_table,
    train_table,
)


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
    bags = Bags.of(rows)
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
    bags = Bags.of([[1]] * texts)
    assert train_table(table, bags, np.ones((texts, 2), np.float32), Recipe()) is table


def test_the_linear_map_is_that_of_ridge_regression():
    """Onto the teacher's principal directions, in which its similarities are kept best."""
    from sklearn.linear_model import Ridge

    bags, teacher, start = _material(np.random.default_rng(2), texts=400)
    made = averages(start, bags).astype(np.float64)
    directions = np.linalg.svd(teacher.astype(np.float64))[2][:5]
    alpha = 0.1 * np.trace(made.T @ made) / made.shape[1]
    ridge = Ridge(alpha=alpha, fit_intercept=False).fit(made, teacher @ directions.T)
    table = mapped_table(start, bags, teacher, 5)
    assert table.shape == (len(start), 5)
    # The sign of a direction is anyone's choice.
    np.testing.assert_allclose(np.abs(table), np.abs(ridge.predict(start)), atol=1e-5)


def test_a_mapped_student_comes_nearer_on_texts_that_it_was_not_fitted_to():
    bags, teacher, start = _material(np.random.default_rng(3))
    rotation = np.linalg.qr(np.random.default_rng(4).normal(size=(16, 16)))[0].astype(np.float32)
    start = start @ (rotation * np.geomspace(0.3, 3, 16, dtype=np.float32))
    half, unseen = np.arange(0, len(bags), 2), np.arange(1, len(bags), 2)
    upper = np.triu_indices(len(unseen), 1)
    wanted = (teacher[unseen] @ teacher[unseen].T)[upper]

    def agreement(table):
        student = averages(table, bags.take(unseen))
        return np.corrcoef((student @ student.T)[upper], wanted)[0, 1]

    mapped = mapped_table(start, bags.take(half), teacher[half], 16)
    assert agreement(mapped) > agreement(start) + 0.08


def test_texts_without_tokens_map_to_nothing():
    bags = Bags.of([[]] * 3)
    made = mapped_table(np.ones((4, 2), np.float32), bags, np.eye(3, dtype=np.float32), 2)
    assert np.isfinite(made).all()
