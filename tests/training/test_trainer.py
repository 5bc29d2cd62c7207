"""The loop: batches, gradients, early stopping, and what it may and may not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sbert_cluster.training import objectives
from sbert_cluster.training.examples import Examples
from sbert_cluster.training.negatives import mine
from sbert_cluster.training.recipe import Kind, Objective, Recipe
from sbert_cluster.training.split import meanings
from sbert_cluster.training.tasks import MINED, Batch, Task, triplets_of_nli
from sbert_cluster.training.trainer import Trainer, steps_of

BOTH = (Objective.RANKING, Objective.COSENT)


def task_of(labelled, network, recipe, objectives=BOTH, *, with_negatives=True):
    """The sample's pairs as a task."""
    meaning = meanings(labelled.texts, labelled.sets)
    negatives = None
    if with_negatives:
        vectors = network.vectors(np.arange(len(labelled.texts)))
        negatives = mine(vectors, meaning, (-0.5, 0.95))
    return Task(labelled.sets[0], objectives, recipe, meaning, network.lengths(), negatives)


def test_an_epoch_visits_every_positive_once(labelled, network):
    """Batches are the same each time they are asked for, and differ between epochs."""
    task = task_of(labelled, network(labelled.texts), Recipe(batch_size=16))
    seen = []
    for number in range(task.batches):
        batch, again = task.batch(number), task.batch(number)
        assert all(np.array_equal(a, b) for a, b in zip(batch.columns, again.columns, strict=True))
        positive = batch.labels > 0.5
        pairs = np.sort(np.column_stack([c[positive] for c in batch.columns]), axis=1)
        seen += [tuple(pair) for pair in pairs.tolist()]
    rows = labelled.sets[0].rows[labelled.sets[0].labels > 0.5]
    positives = {tuple(sorted(pair)) for pair in rows.tolist()}
    assert len(seen) == len(set(seen)) == task.batches * 16
    assert set(seen) <= positives
    assert not np.array_equal(task.batch(0).columns[0], task.batch(task.batches).columns[0])


def test_mined_negatives_are_never_taken_for_labels(labelled, network):
    """They rank behind positives; objectives of pairs do not see them."""
    task = task_of(labelled, network(labelled.texts), Recipe(batch_size=16))
    batch = task.batch(3)
    assert {0.0, 1.0, MINED} == set(batch.labels.tolist())
    generator = torch.Generator().manual_seed(1)
    columns = [torch.randn(len(batch.labels), 6, generator=generator) for _ in range(2)]
    labelled_lengths = np.ones(len(labelled.texts), np.int64)
    only = Task(labelled.sets[0], (Objective.COSENT,), Recipe(), task._meaning, labelled_lengths)
    loss = only.loss(tuple(columns), batch)
    moved = columns[1].clone()
    moved[torch.from_numpy(batch.labels == MINED)] += 5
    assert torch.equal(only.loss((columns[0], moved), batch), loss)


def test_nli_becomes_triplets():
    """Premise, entailed hypothesis, and a contradiction of the same premise."""
    rows = np.array([[0, 1], [0, 2], [0, 3], [4, 5]])
    labels = np.array([0, 2, 1, 0], np.float32)
    made = triplets_of_nli(Examples(Kind.NLI, rows, labels))
    assert made.rows.tolist() == [[0, 1, 2], [4, 5, -1]]


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_gradients_made_piece_by_piece_are_the_same(labelled, network, dropout):
    """``--cached`` changes the memory, not the gradient: the same seeds give the same dropout."""
    after = []
    for cached in (0, 8):
        recipe = Recipe(epochs=0.2, batch_size=24, cached=cached, learning_rate=1e-3)
        made = network(labelled.texts, dropout=dropout)
        Trainer(made, [task_of(labelled, made, recipe)], recipe).run()
        after.append([weight.detach() for weight in made.parameters().values()])
    for one, other in zip(*after, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_training_stops_early_and_keeps_the_best_weights(labelled, network):
    """After so many looks without a gain in the second half; the best look's weights are kept."""
    recipe = Recipe(epochs=10, looks=10, patience=2, learning_rate=1e-3)
    made = network(labelled.texts)
    seen = [0.2, 0.5, 0.4, 0.3, 0.2, 0.4, 0.3]
    scores = iter([*seen, 0.9])
    kept = []

    def judge():
        kept.append(next(iter(made.parameters().values())).detach().clone())
        return next(scores)

    course = Trainer(made, [task_of(labelled, made, recipe)], recipe, judge=judge).run()
    assert [look.score for look in course.looks] == seen
    assert course.best == course.looks[1]
    assert course.done < course.steps
    assert torch.equal(next(iter(made.parameters().values())), kept[1])


def test_frozen_layers_stay_as_they_are(labelled, network):
    """``--freeze 1`` leaves the word vectors and the lowest layer alone."""
    recipe = Recipe(epochs=1, learning_rate=1e-2)
    made = network(labelled.texts, freeze=1)
    before = {name: weight.clone() for name, weight in made.body.named_parameters()}
    Trainer(made, [task_of(labelled, made, recipe)], recipe).run()
    for name, weight in made.body.named_parameters():
        frozen = "embeddings" in name or "layer.0." in name
        # The pooler takes no part in the vectors.
        if "pooler" not in name:
            assert torch.equal(weight, before[name]) == frozen, name


def test_few_labelled_negatives_set_the_length():
    """Nobody learns ten negatives by heart a hundred times over."""
    rows = np.column_stack([np.arange(1000), np.arange(1000) + 1000])
    labels = np.ones(1000, np.float32)
    labels[:10] = 0
    examples = Examples(Kind.LABELS, rows, labels)
    lengths = np.ones(2000, np.int64)
    task = Task(examples, BOTH, Recipe(), np.arange(2000), lengths)
    assert task.batch_size == 32  # not 64: labelled negatives teach more than those of a batch
    assert steps_of([task], Recipe()) == 10
    assert steps_of([task], Recipe(epochs=2)) == 2 * (990 // task.batch_size)


def test_where_time_is_short_unlike_positives_are_drawn():
    """Ten labelled negatives end training after 320 positives of 990: those that look unlike."""
    rows = np.column_stack([np.arange(1000), np.arange(1000) + 1000])
    labels = np.ones(1000, np.float32)
    labels[:10] = 0
    likeness = np.where(np.arange(1000) % 3 == 0, -1, 1).astype(np.float32)
    examples, lengths = Examples(Kind.LABELS, rows, labels), np.ones(2000, np.int64)

    def drawn(recipe):
        task = Task(examples, BOTH, recipe, np.arange(2000), lengths, likeness=likeness)
        assert steps_of([task], recipe) == task.batches == 320 // task.batch_size
        assert task.passed_over == 990 - 320
        batches = [task.batch(number) for number in range(task.batches)]
        places = [b.columns[0][b.labels > 0.5] % 1000 for b in batches]
        return np.sort(np.concatenate(places))

    unlike = np.arange(12, 1000, 3)
    one = drawn(Recipe())
    assert len(one) == len(set(one.tolist())) == 320
    assert np.isin(one, unlike).all()
    # Another seed draws others, though none of those that look alike.
    other = drawn(Recipe(seed=1))
    assert np.isin(other, unlike).all()
    assert not np.array_equal(one, other)
    # Whoever names the epochs has all rows.
    all_rows = Task(examples, BOTH, Recipe(epochs=1), np.arange(2000), lengths, likeness=likeness)
    assert all_rows.batches == 990 // all_rows.batch_size


@pytest.mark.parametrize(("negatives", "scale"), [(10, 10.0), (300, 20.0)])
def test_cosent_is_calmer_where_negatives_are_rare(negatives, scale):
    """Half the scale where positives have to be passed over, all of it elsewhere."""
    generator = torch.Generator().manual_seed(2)
    columns = tuple(torch.randn(6, 4, generator=generator) for _ in range(2))
    rows = np.arange(1200).reshape(600, 2)
    labels = (np.arange(600) >= negatives).astype(np.float32)
    lengths = np.ones(1200, np.int64)
    task = Task(
        Examples(Kind.LABELS, rows, labels), (Objective.COSENT,), Recipe(), lengths, lengths
    )
    said = np.array([0, 1, 0, 1, 1, 0], np.float32)
    wanted = objectives.cosent(objectives.cosines(*columns), torch.from_numpy(said), scale)
    assert torch.isclose(task.loss(columns, Batch((rows[:6, 0], rows[:6, 1]), said)), wanted)


@pytest.mark.parametrize(
    "objective", ["classification", "regression", "contrastive", "online-contrastive"]
)
def test_every_objective_of_pairs_learns(labelled, network, objective):
    """The loss falls over a short training."""
    recipe = Recipe(epochs=3, looks=6, learning_rate=3e-3, batch_size=32)
    made = network(labelled.texts)
    task = task_of(labelled, made, recipe, (Objective(objective),), with_negatives=False)
    course = Trainer(made, [task], recipe).run()
    assert course.looks[-1].loss < course.looks[0].loss


def test_simcse_learns_from_texts_alone(labelled, network):
    """Two passes over a text differ by dropout only, and still find each other."""
    texts = np.arange(48)[:, None]  # few, so that they are soon told apart in any noise
    examples = Examples(Kind.TEXTS, texts, np.ones(len(texts), np.float32))
    recipe = Recipe(epochs=60, looks=6, learning_rate=3e-3, batch_size=48)
    made = network(labelled.texts, dropout=0.3)
    lengths = made.lengths()
    task = Task(examples, (Objective.SIMCSE,), recipe, np.arange(len(texts)), lengths)
    course = Trainer(made, [task], recipe).run()
    assert course.looks[-1].loss < course.looks[0].loss
