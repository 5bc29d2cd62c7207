"""Where duplicates are common: what the labels tell of it, and that a model learns it."""

from __future__ import annotations

import numpy as np
import torch

from sbert_cluster.neighbors.search import Neighbors
from sbert_cluster.training import prevalence as module
from sbert_cluster.training.examples import Examples, Labelled
from sbert_cluster.training.prevalence import (
    PrevalenceTask,
    Surroundings,
    is_told_by,
    prevalence,
    surroundings,
)
from sbert_cluster.training.recipe import Kind, Recipe
from sbert_cluster.training.trainer import Trainer


def around_of(labelled, network):
    """Surroundings of all texts of the sample's pairs."""
    texts = np.unique(labelled.sets[0].rows)
    return surroundings(labelled, texts, network.vectors(texts))


def test_prevalence_is_the_likeness_to_positives_of_others():
    """Neither own partners nor texts that no positive holds count; what is missing counts as 0."""
    rows = np.array([[1, 2, 3, 4, 5, 6]])
    similarity = np.array([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]], np.float32)
    near = Neighbors(np.repeat(rows, 7, axis=0), np.repeat(similarity, 7, axis=0))
    component = np.array([0, 0, 2, 3, 4, 5, 6])
    positive = np.array([True, True, True, False, True, True, True])
    found = prevalence(near, component, positive)
    assert np.isclose(found[0], (0.8 + 0.6 + 0.5 + 0.4) / 5)
    # Without a partner among the neighbors all five nearest positives count.
    component[0] = 9
    assert np.isclose(prevalence(near, component, positive)[0], (0.9 + 0.8 + 0.6 + 0.5 + 0.4) / 5)


def test_surroundings_equal_their_definition(labelled, network, random):
    """Against a plain count over all pairs of texts."""
    around = around_of(labelled, network(labelled.texts))
    examples = labelled.sets[0]
    positive = set(examples.rows[examples.labels > 0.5].ravel().tolist())
    joined = {int(text): {int(text)} for text in around.texts}
    for left, right in examples.rows.tolist():
        both = joined[left] | joined[right]
        for text in both:
            joined[text] = both
    cosines = around.vectors @ around.vectors.T
    compared = 0
    for place in random.choice(len(around.texts), 30, replace=False).tolist():
        nearest = [p for p in np.argsort(-cosines[place]) if p != place][:32]
        own = joined[int(around.texts[place])]
        others = [p for p in nearest if int(around.texts[p]) not in own]
        counted = [cosines[place, p] for p in others if int(around.texts[p]) in positive][:5]
        # Texts that are the same once normalised are joined without a label.
        if not _has_twin(labelled.texts, around.texts[[place, *nearest]]):
            assert np.isclose(around.prevalence[place], sum(counted) / 5, atol=1e-5)
            compared += 1
    assert compared >= 5


def _has_twin(texts, numbers):
    forms = ["".join(filter(str.isalnum, texts[i].lower())) for i in numbers]
    return len(set(forms)) < len(forms)


def test_near_pairs_are_wanted_nearer_where_duplicates_are_common():
    """By half of the prevalence of each text, less the median."""
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    told = np.array([0.8, 0.6, 0.1], np.float32)
    around = Surroundings(np.array([3, 5, 8]), vectors, np.array([[1], [2], [1]]), told)
    wanted = around.wanted(np.array([0, 1]), np.array([1, 2]))
    assert np.allclose(wanted, [0.6 + 0.7 - 0.6, 0.8 + 0.35 - 0.6])


def test_an_epoch_makes_one_pair_of_each_text(labelled, network, monkeypatch):
    """With one of its neighbors; the same batch each time it is asked for."""
    monkeypatch.setattr(module, "BATCH", 16)
    around = around_of(labelled, network(labelled.texts))
    task = PrevalenceTask(around, seed=0)
    seen = []
    for number in range(task.batches):
        batch, again = task.batch(number), task.batch(number)
        assert all(np.array_equal(a, b) for a, b in zip(batch.columns, again.columns, strict=True))
        for left, right in np.searchsorted(around.texts, np.column_stack(batch.columns)).tolist():
            assert right in around.near[left]
        seen += batch.columns[0].tolist()
    assert len(seen) == len(set(seen)) == 16 * task.batches > len(around.texts) - 16


def test_a_model_learns_it(labelled, network, monkeypatch):
    """Cosines of near pairs move with prevalence; those of other pairs hardly do."""
    monkeypatch.setattr(module, "BATCH", 32)
    made = network(labelled.texts)
    around = around_of(labelled, made)
    left = np.arange(len(around.texts))
    right = around.near[left, 0]
    recipe = Recipe(epochs=12, learning_rate=1e-3)
    Trainer(made, [PrevalenceTask(around, seed=0)], recipe).run()
    after = made.vectors(around.texts)

    def moved(one, other):
        return ((after[one] * after[other]) - (around.vectors[one] * around.vectors[other])).sum(1)

    told = (around.prevalence[left] + around.prevalence[right]) / 2
    assert np.corrcoef(moved(left, right), told)[0, 1] > 0.5
    far = np.roll(left, len(left) // 2)
    assert np.abs(moved(left, far)).mean() < 0.1


def test_few_positives_tell_nothing():
    """Some thousand texts are needed."""
    rows = np.arange(module.FEWEST_TEXTS).reshape(-1, 2)
    texts = [str(i) for i in range(rows.size)]
    labels = np.ones(len(rows), np.float32)
    assert is_told_by(Labelled(texts, (Examples(Kind.LABELS, rows, labels),)))
    labels[0] = 0
    assert not is_told_by(Labelled(texts, (Examples(Kind.LABELS, rows, labels),)))


def test_weights_that_nothing_beats_stay(labelled, network, monkeypatch):
    """The held-out rows decide whether what was learned last is kept."""
    monkeypatch.setattr(module, "BATCH", 32)
    made = network(labelled.texts)
    task = PrevalenceTask(around_of(labelled, made), seed=0)
    before = {name: weight.detach().clone() for name, weight in made.parameters().items()}
    recipe = Recipe(epochs=1, learning_rate=1e-3)
    course = Trainer(made, [task], recipe, judge=lambda: 0.5, beat=0.6).run()
    assert course.best is None
    assert all(torch.equal(w, before[name]) for name, w in made.parameters().items())
    course = Trainer(made, [task], recipe, judge=lambda: 0.7, beat=0.6).run()
    assert course.best == course.looks[0]
    assert not all(torch.equal(w, before[name]) for name, w in made.parameters().items())
