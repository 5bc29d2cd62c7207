"""What ``distill`` says of a student, against a loop over all pairs."""

import numpy as np

from sbert_cluster.encoder.bags import Bags
from sbert_cluster.encoder.static import averages
from sbert_cluster.pipeline.distill import measured, rows_to_train_on


def _material(texts=300, tokens=60, width=12):
    """Texts, half with a near copy, a student, and a teacher that sees them alike."""
    random = np.random.default_rng(3)
    rows = [random.integers(0, tokens, 6) for _ in range(texts)]
    for row in range(texts // 2):
        rows[texts - 1 - row] = np.append(rows[row], random.integers(0, tokens))
    bags = Bags.of(rows)
    table = random.normal(size=(tokens, width)).astype(np.float32)
    noisy = averages(table, bags) + random.normal(size=(texts, width)) / 20
    return table, bags, (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)


def test_rows_stay_as_a_loop_counts_them():
    table, bags, teacher = _material()
    made = measured(table, bags, teacher, (0.9, 0.99))
    student = averages(table, bags).astype(np.float64)
    np.testing.assert_allclose(made["cosine"], (student * teacher).sum(1).mean(), rtol=1e-5)
    ours, theirs = student @ student.T, teacher.astype(np.float64) @ teacher.T
    np.fill_diagonal(ours, -1)
    for threshold in (0.9, 0.8):
        true = np.argwhere(np.triu(theirs >= threshold, 1))
        assert len(true) >= 50
        for recall in (0.9, 0.99):
            # The fewest rows: read those with the nearest partners until enough pairs are found.
            order = np.argsort(-ours.max(1))
            place = np.empty(len(order), np.int64)
            place[order] = np.arange(len(order))
            last = np.sort(place[true].max(1))
            needed = last[int(np.ceil(recall * len(true))) - 1] + 1
            share = made[f"rows_stay_{recall:g}_at_{threshold:g}"]
            # Two rows that are each other's nearest have the same level, up to rounding.
            assert abs(share * len(order) - needed) <= 1


def test_few_pairs_say_nothing():
    table, bags, teacher = _material()
    few = np.arange(20)
    assert set(measured(table, bags.take(few), teacher[few])) == {"cosine"}
    assert measured(table, bags.take(few[:0]), teacher[:0]) == {}


def test_as_many_rows_as_wanted_are_trained_on_look_alikes_among_them():
    random = np.random.default_rng(0)
    apart = np.linalg.qr(random.normal(size=(100, 100)))[0]
    # Of 90 rows ten have a twin.
    vectors = np.concatenate([apart[:80], apart[:10]]).astype(np.float32)
    alike = {*range(10), *range(80, 90)}
    chosen = rows_to_train_on(vectors, 50, 0)
    assert len(np.unique(chosen)) == len(chosen) == 50
    assert alike <= set(chosen.tolist())
    few = rows_to_train_on(vectors, 20, 0)
    assert len(np.unique(few)) == 20
    assert len(alike & set(few.tolist())) >= 10
    assert len(rows_to_train_on(vectors, 200, 0)) == 90
