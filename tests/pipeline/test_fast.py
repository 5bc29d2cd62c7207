"""``--fast``: what it finds is what a full run finds, nearly all of it, and it says how much."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from sbert_cluster import UsageError, dedup, rethreshold
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.options import EncodeOptions, FastOptions
from sbert_cluster.pipeline import fast as module
from sbert_cluster.pipeline.fast import Cascade, NotWorthIt

THRESHOLD = 0.9


def _words(tiny_model):
    tokens = json.loads((tiny_model / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokens["model"]["vocab"]
    return [word for word, number in vocabulary.items() if word.isalpha() and number > 60]


def _texts(tiny_model, count, near, seed=0):
    """Texts of random words, some with copies in which a word is changed or added."""
    words, random = np.array(_words(tiny_model)), np.random.default_rng(seed)
    listed = [random.choice(words, random.integers(6, 12)).tolist() for _ in range(count - near)]
    for source in random.integers(0, len(listed), near).tolist():
        copy = list(listed[source])
        copy[int(random.integers(len(copy)))] = str(random.choice(words))
        if random.random() < 0.5:
            copy.append(str(random.choice(words)))
        listed.append(copy)
    return list(dict.fromkeys(" ".join(row) for row in listed))


@pytest.fixture
def few(monkeypatch):
    """Let corpora of test size be worth it."""
    monkeypatch.setattr(module, "FastOptions", _Few)


class _Few(FastOptions):
    def __init__(self, recall=0.99):
        super().__init__(recall=recall, least_texts=500)


def _pairs(result):
    pairs = result.pairs
    return {(int(i), int(j)): float(s) for i, j, s in zip(
        pairs.left, pairs.right, pairs.similarity, strict=True)}  # fmt: skip


@pytest.mark.usefixtures("few")
def test_nearly_all_pairs_are_found_with_their_exact_similarity(tiny_model, tmp_path):
    texts = _texts(tiny_model, 6_000, 1_500)
    frame = pl.DataFrame({"text": texts})
    options = {"threshold": THRESHOLD, "model": str(tiny_model), "cache_dir": tmp_path}
    fast = dedup(frame, fast=True, **options)
    full = dedup(frame, **{**options, "cache": False})
    found, wanted = _pairs(fast), _pairs(full)
    assert len(wanted) > 300
    assert found.items() <= wanted.items()
    search = fast.manifest.search
    estimate, low, high = search["recall"]
    assert len(found) / len(wanted) >= low
    assert 0.99 <= low <= estimate <= high == 1
    assert not search["exhaustive"]
    assert search["pairs_possible"] == len(texts) * (len(texts) - 1) // 2
    facts = search["fast"]
    assert facts["texts_encoded"] <= facts["texts_read"] < 0.6 * len(texts)
    assert search["pairs_compared"] == facts["texts_read"] * (facts["texts_read"] - 1) // 2
    assert facts["student_lowest"] <= facts["student_threshold"] < THRESHOLD
    assert any(note.startswith("--fast: the model read") for note in fast.manifest.notes)
    assert fast.manifest.arguments["fast"]
    assert fast.manifest.arguments["recall"] == 0.99
    kept = {j for _, j in found}
    assert fast.groups.kept.sum() >= len(texts) - len(kept)


@pytest.mark.usefixtures("few")
def test_the_same_again(tiny_model):
    frame = pl.DataFrame({"text": _texts(tiny_model, 2_500, 900)})
    first, second = (
        dedup(frame, fast=True, recall=0.9, model=str(tiny_model), cache=False) for _ in range(2)
    )
    assert _pairs(first) == _pairs(second)
    assert first.manifest.search["recall"] == second.manifest.search["recall"]


@pytest.mark.usefixtures("few")
def test_texts_of_the_same_form_are_found_without_their_vectors(tiny_model, tmp_path):
    """They are duplicates by definition, and their groups have similarities as in a full run."""
    texts = _texts(tiny_model, 5_000, 1_000)
    texts += [text.upper() + "!" for text in texts[:40]]
    frame = pl.DataFrame({"text": texts})
    options = {"threshold": THRESHOLD, "model": str(tiny_model), "cache_dir": tmp_path}
    fast = dedup(frame, fast=True, recall=0.95, **options)
    full = dedup(frame, **options)
    assert not fast.manifest.search["exhaustive"], fast.manifest.notes
    for row in range(len(texts) - 40, len(texts)):
        assert not fast.groups.kept[row]
        assert fast.groups.duplicate_of[row] == full.groups.duplicate_of[row]
    lowest = fast.groups.lowest_similarity
    assert lowest.min() > 0


def _notes(result):
    return [note for note in result.manifest.notes if note.startswith("--fast was run in full")]


def test_few_texts_are_run_in_full(tiny_model):
    frame = pl.DataFrame({"text": _texts(tiny_model, 200, 50)})
    result = dedup(frame, fast=True, model=str(tiny_model))
    assert result.manifest.search["exhaustive"]
    assert "texts are too few" in _notes(result)[0]
    assert _pairs(result) == _pairs(dedup(frame, model=str(tiny_model)))


@pytest.mark.usefixtures("few")
def test_texts_that_are_encoded_already_are_run_in_full(tiny_model, tmp_path):
    frame = pl.DataFrame({"text": _texts(tiny_model, 1_000, 100)})
    dedup(frame, model=str(tiny_model), cache_dir=tmp_path)
    result = dedup(frame, fast=True, model=str(tiny_model), cache_dir=tmp_path)
    assert result.manifest.search["exhaustive"]
    assert "are encoded already" in _notes(result)[0]


@pytest.mark.usefixtures("few")
def test_where_most_texts_have_a_look_alike_all_are_read(tiny_model):
    """As among questions, of which most have a sibling."""
    words, random = _words(tiny_model), np.random.default_rng(0)
    templates = [random.choice(words, 9).tolist() for _ in range(60)]
    texts = []
    for _ in range(1_500):
        row = list(templates[int(random.integers(len(templates)))])
        row[int(random.integers(len(row)))] = str(random.choice(words))
        texts.append(" ".join(row))
    frame = pl.DataFrame({"text": list(dict.fromkeys(texts))})
    result = dedup(frame, fast=True, threshold=THRESHOLD, model=str(tiny_model))
    assert result.manifest.search["exhaustive"]
    assert "have a look-alike" in _notes(result)[0]
    assert _pairs(result) == _pairs(dedup(frame, threshold=THRESHOLD, model=str(tiny_model)))


@pytest.mark.usefixtures("few")
def test_a_threshold_near_zero_is_run_in_full(tiny_model):
    frame = pl.DataFrame({"text": _texts(tiny_model, 600, 100)})
    result = dedup(frame, fast=True, threshold=0.05, model=str(tiny_model))
    assert result.manifest.search["exhaustive"]


@pytest.mark.usefixtures("few")
def test_where_no_pairs_are_seen_nothing_is_promised(tiny_model):
    frame = pl.DataFrame({"text": _texts(tiny_model, 1_500, 0)})
    result = dedup(frame, fast=True, threshold=0.95, model=str(tiny_model))
    assert result.manifest.search["exhaustive"]
    assert len(_notes(result)) == 1


def test_a_static_model_needs_no_student(tiny_model, tmp_path):
    from sbert_cluster import distill

    folder = distill(output=tmp_path / "student", model=str(tiny_model)).folder
    encoder = Encoder.open(EncodeOptions(model=str(folder)))
    texts = _texts(tiny_model, 50, 10)
    none = np.empty(0, np.int64)
    cascade = Cascade(encoder, encoder, None, texts, 0.9, FastOptions(), none, 0, lambda *_: None)
    with pytest.raises(NotWorthIt, match="static"):
        cascade.run()


@pytest.mark.usefixtures("few")
def test_a_run_that_misses_pairs_is_no_start_for_another(tiny_model, tmp_path):
    path = tmp_path / "texts.csv"
    pl.DataFrame({"text": _texts(tiny_model, 5_000, 1_000)}).write_csv(path)
    run = tmp_path / "run"
    result = dedup(path, fast=True, recall=0.9, model=str(tiny_model), output=run)
    assert not result.manifest.search["exhaustive"], result.manifest.notes
    with pytest.raises(UsageError, match="made with --fast"):
        rethreshold(run, threshold=0.95)


@pytest.mark.parametrize(
    "wrong",
    [{"against": pl.DataFrame({"text": ["a"]})}, {"vector_column": "v"}, {"engine": "ray"}],
)
def test_what_does_not_go_together(wrong):
    with pytest.raises(UsageError, match="--fast does not go with"):
        dedup(pl.DataFrame({"text": ["a", "b"]}), fast=True, **wrong)


def test_recall_is_for_fast_alone_and_a_share():
    frame = pl.DataFrame({"text": ["a", "b"]})
    with pytest.raises(UsageError, match="--recall needs --fast"):
        dedup(frame, recall=0.9)
    with pytest.raises(UsageError, match="outside"):
        dedup(frame, fast=True, recall=1.0)


def test_a_vocabulary_is_read_once_and_goes_with_the_cache(tiny_model, tmp_path):
    from sbert_cluster import distill
    from sbert_cluster.pipeline import clear_cache

    told = []
    options = {"model": str(tiny_model), "cache_dir": tmp_path / "cache"}
    for number in range(2):
        distill(
            output=tmp_path / str(number),
            progress=lambda stage, *_: told.append((number, stage)),  # noqa: B023 - called at once
            **options,
        )
    assert (0, "reading the vocabulary") in told
    assert (1, "reading the vocabulary") not in told
    files = list((tmp_path / "cache" / "students").iterdir())
    assert len(files) == 1
    files[0].write_bytes(files[0].read_bytes()[:1000])
    distill(output=tmp_path / "2", **options)
    weights = [(tmp_path / str(i) / "model.safetensors").read_bytes() for i in range(3)]
    assert weights[0] == weights[1] == weights[2]
    assert clear_cache(cache_dir=tmp_path / "cache") > 0
    assert not list((tmp_path / "cache" / "students").iterdir())


@pytest.mark.usefixtures("few")
def test_it_looks_farther_where_no_level_suffices(tiny_model, tmp_path, monkeypatch):
    """What it begins with is too near: nearly no row has such a partner, and pairs are missed."""
    monkeypatch.setattr(module, "_REACHING", 0.0)
    monkeypatch.setattr(module, "_NEAREST", 0.02)
    looked, find = [], module.find_pairs

    def told(vectors, lowest, *rest, **options):
        looked.append(lowest)
        return find(vectors, lowest, *rest, **options)

    monkeypatch.setattr(module, "find_pairs", told)
    texts = _texts(tiny_model, 6_000, 1_500)
    options = {"threshold": THRESHOLD, "model": str(tiny_model), "cache_dir": tmp_path}
    fast = dedup(pl.DataFrame({"text": texts}), fast=True, **options)
    full = dedup(pl.DataFrame({"text": texts}), **options)
    assert not fast.manifest.search["exhaustive"], fast.manifest.notes
    assert looked[0] == 0.88
    assert looked[1] == 0.83
    facts = fast.manifest.search["fast"]
    assert facts["student_lowest"] < 0.88
    assert len(_pairs(fast)) / len(_pairs(full)) >= fast.manifest.search["recall"][1] >= 0.99
