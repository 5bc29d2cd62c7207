"""Label files: what kind they are, and what is said where they are no good."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from sbert_cluster.errors import InputError, UsageError
from sbert_cluster.training.examples import LabelFile, read_examples, without_surplus
from sbert_cluster.training.recipe import Kind, Recipe, objective_for

N = 10
LEFT = [f"question {i}" for i in range(N)]
RIGHT = [f"answer {i}" for i in range(N)]


def read(columns, **options):
    """The only file's examples."""
    made = read_examples([LabelFile(pl.DataFrame(columns), "labels.csv", **options)])
    (examples,) = made.sets
    return examples, made


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"text_a": LEFT, "text_b": RIGHT, "label": [0, 1] * 5}, Kind.LABELS),
        ({"question1": LEFT, "question2": RIGHT, "is_duplicate": ["0", "1"] * 5}, Kind.LABELS),
        ({"x": LEFT, "y": RIGHT, "same": ["yes", "No"] * 5}, Kind.LABELS),
        ({"sentence1": LEFT, "sentence2": RIGHT, "score": np.linspace(0, 5, N)}, Kind.SCORES),
        (
            {"premise": LEFT, "hypothesis": RIGHT, "label": ["neutral", "ENTAILMENT"] * 5},
            Kind.NLI,
        ),
        ({"premise": LEFT, "hypothesis": RIGHT, "label": [0, 1, 2, 0, 1] * 2}, Kind.NLI),
        ({"anchor": LEFT, "positive": RIGHT, "negative": LEFT[::-1]}, Kind.TRIPLETS),
        ({"anchor": LEFT, "positive": RIGHT}, Kind.POSITIVES),
        ({"remark": LEFT}, Kind.TEXTS),
    ],
)
def test_the_columns_tell_the_kind(columns, kind):
    """Each kind is recognised, and has an objective of its own."""
    examples, made = read(columns)
    assert examples.kind is kind
    assert len(examples) == N
    assert objective_for(kind, None)
    assert made.notes


def test_scores_are_divided_by_the_highest():
    """Objectives want scores up to 1."""
    examples, made = read({"sentence1": LEFT, "sentence2": RIGHT, "score": list(range(N))})
    assert examples.labels == pytest.approx(np.arange(N) / 9)
    assert any("divided by 9" in note for note in made.notes)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"text_a": LEFT, "text_b": RIGHT, "label": ["a", "b"] * 5}, "'a'"),
        ({"text_a": LEFT, "text_b": RIGHT, "label": [-1, 2] * 5}, "-1"),
        ({"text_a": LEFT[:3], "text_b": RIGHT[:3], "label": [0, 1, 1]}, "3 usable rows"),
        ({"text_a": [0, 1] * 5, "text_b": RIGHT, "label": LEFT}, "hardly any different"),
        ({"text_a": LEFT, "text_b": LEFT, "label": [0, 1] * 5}, "0 usable rows"),
    ],
)
def test_bad_labels_get_a_clear_line(columns, told):
    """Other values, too few rows, swapped columns, texts compared with themselves."""
    with pytest.raises(InputError, match=told):
        read(columns)


def test_unclear_columns_are_asked_about():
    """Three columns of strings without usual names."""
    with pytest.raises(UsageError, match="not clear"):
        read({"x": LEFT, "y": RIGHT, "z": LEFT[::-1]})
    examples, _ = read(
        {"x": LEFT, "y": RIGHT, "z": ["1", "0"] * 5}, text_columns=("x", "y"), label_column="z"
    )
    assert examples.kind is Kind.LABELS


def test_rows_that_say_nothing_are_left_out_and_counted():
    """Empty texts, missing labels, and pairs labelled both ways."""
    columns = {
        "text_a": [*LEFT, " ", "again", "other"],
        "text_b": [*RIGHT, "x", "twice", "row"],
        "label": [0, 1] * 5 + [1, 1, None],
    }
    columns["text_a"].append("twice")
    columns["text_b"].append("again")
    columns["label"].append(0)
    examples, made = read(columns)
    assert len(examples) == N
    told = " ".join(made.notes)
    assert "2 rows without a text or a label" in told
    assert "2 rows labelled both 0 and 1" in told
    whole = read_examples([LabelFile(pl.DataFrame(columns))], whole=True)
    assert len(whole.sets[0]) == N + 2


def test_an_objective_that_does_not_fit_is_refused():
    """Triplets cannot be regressed."""
    with pytest.raises(UsageError, match="does not fit"):
        objective_for(Kind.TRIPLETS, "regression")
    assert objective_for(Kind.LABELS, "ranking+contrastive")


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"warmup": 1.5},
        {"band": (0.9, 0.3)},
        {"objective": "magic"},
        {"concatenation": "u"},
        {"holdout": 0.9},
    ],
)
def test_a_recipe_is_checked(options):
    """Numbers out of range and unknown names end in a usage error."""
    with pytest.raises(UsageError):
        Recipe(**options)


def test_surplus_of_the_commoner_label_is_left_out():
    """All of the rarer label stay."""
    many = [f"left {i}" for i in range(100)]
    labels = [int(i % 50 != 0) for i in range(100)]
    examples, _ = read(
        {"text_a": many, "text_b": [f"right {i}" for i in range(100)], "label": labels}
    )
    fewer = without_surplus(examples, 10, seed=0)
    assert (fewer.labels < 0.5).sum() == 2
    assert len(fewer) == 22
    assert len(without_surplus(examples, 60, seed=0)) == 100
