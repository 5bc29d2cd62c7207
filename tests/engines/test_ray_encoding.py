"""Encoding by actors of a real Ray: the same bits, whatever dies, and no text tried for ever."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.engines.ray import encoding
from sbert_cluster.engines.ray import engine as engine_module
from sbert_cluster.engines.ray.crew import ATTEMPTS, CallKills, Crew
from sbert_cluster.engines.ray.encoding import _Shards
from sbert_cluster.errors import ModelError, TextError
from sbert_cluster.options import EncodeOptions, LongTexts

WORDS = [
    "how",
    "do",
    "i",
    "pay",
    "for",
    "my",
    "order",
    "when",
    "the",
    "parcel",
    "is",
    "late",
    "and",
    "who",
    "gets",
    "the",
    "refund",
]


def made_up(count):
    """Different texts of different lengths."""
    random = np.random.default_rng(count)
    return [
        f"{number} " + " ".join(random.choice(WORDS, random.integers(1, 40)))
        for number in range(count)
    ]


@pytest.fixture
def options(tiny_model, tmp_path, monkeypatch):
    """Small batches, so that there are many, and no text is too few for an actor."""
    monkeypatch.setattr(engine_module, "FEW_TEXTS", 0)
    monkeypatch.setattr(encoding, "_CALL_TOKENS", 1_024)
    return EncodeOptions(model=str(tiny_model), batch_tokens=256, cache_dir=tmp_path / "cache")


def without_cache(options, **changes):
    values = {name: getattr(options, name) for name in ("model", "batch_tokens")} | changes
    return EncodeOptions(use_cache=False, **values)


def same_bits(one, other):
    assert one.vectors.tobytes() == other.vectors.tobytes()
    assert np.array_equal(one.truncated, other.truncated)
    assert (one.chunked is None) == (other.chunked is None)
    assert one.chunked is None or np.array_equal(one.chunked, other.chunked)


@pytest.mark.parametrize("long_texts", list(LongTexts))
def test_vectors_are_those_of_one_machine(options, ray_engine, long_texts):
    """To the last bit, long texts and copies included."""
    texts = [*made_up(900), " ".join(WORDS * 50), "a" * 9_000, made_up(900)[3]]
    encoder = Encoder.open(without_cache(options, long_texts=long_texts))
    seen = []
    here = encoder.encode(texts)
    there = encoder.encode(texts, lambda *told: seen.append(told[1]), forward=ray_engine.forward)
    same_bits(here, there)
    assert seen == sorted(seen)
    assert seen[-1] == 902


def test_killed_actors_change_nothing(options, ray_engine, killer):
    """Processes are killed while they encode; others take over, and everything is in the cache."""
    texts = made_up(2_000)
    here = Encoder.open(without_cache(options)).encode(texts)
    told = []

    def kill(stage, done, total, unit):
        del stage, total, unit
        told.append(done)
        if len(told) in (2, 20, 40):
            killer.kill("_Reader")

    encoder = Encoder.open(options)
    same_bits(here, encoder.encode(texts, kill, forward=ray_engine.forward))
    assert len(killer.killed) == 3
    assert encoder.count_cached(texts) == len(texts)


@pytest.mark.usefixtures("on_ray")
def test_text_that_fails_is_named_by_its_row(options, tiny_model, tmp_path):
    """A tokenizer that fails on a word ends the run at once, with the row; so it does here."""
    from sbert_cluster import dedup

    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text("utf-8"))
    tokenizer["model"]["unk_token"] = "[NOWHERE]"
    path.write_text(json.dumps(tokenizer), "utf-8")
    rows = ["", *made_up(40), "how do i pay for 語", *made_up(80)[60:]]
    (tmp_path / "rows.csv").write_text("text\n" + "\n".join(f'"{r}"' for r in rows) + "\n", "utf-8")
    for engine in ({}, {"engine": "ray"}):
        with pytest.raises(ModelError, match=r"row 41 cannot be encoded .*fails on it") as caught:
            dedup(tmp_path / "rows.csv", model=str(folder), cache=False, **engine)
        assert "語" not in str(caught.value)
    encoder = Encoder.open(without_cache(options, model=str(folder)))
    with pytest.raises(TextError) as failed:
        encoder.encode([*rows[1:40], rows[1], rows[41]])
    assert failed.value.position == 40


class _Fragile:
    """A reader that dies of one word, as one would of a bug in native code."""

    def tokenise(self, texts):
        if any("deadly" in text for text in texts):
            os._exit(1)
        return len(texts)

    def pid(self):
        return os.getpid()


@pytest.mark.usefixtures("on_ray")
def test_text_that_ends_its_process_is_named(options):
    """It is found by halves, after a few deaths; what was asked beside it gets done."""
    import ray

    kind = ray.remote(_Fragile).options(num_cpus=0)
    crew = Crew(kind.remote, 2)
    try:
        texts = made_up(8)
        texts[5] = "a deadly text"
        shards = _Shards(crew, Encoder.open(options), texts, np.arange(8))
        harmless = [crew.send("tokenise", made_up(3)) for _ in range(4)]
        call = crew.send("tokenise", texts)
        harmless += [crew.send("tokenise", made_up(3)) for _ in range(4)]
        assert [crew.result(one) for one in harmless] == [3] * 8
        with pytest.raises(TextError, match="ends the process") as caught:
            shards._tokenised(np.arange(100, 108), texts, call)
        assert caught.value.position == 105
        assert shards._deadly(made_up(10)) is None
        with pytest.raises(CallKills, match=f"died {ATTEMPTS} times"):
            crew.result(crew.send("tokenise", ["deadly"], deaths=ATTEMPTS - 1))
        assert 1 <= len({crew.result(crew.send("pid")) for _ in range(9)}) <= 2
    finally:
        crew.close()


def test_another_model_under_the_same_name_is_refused(options, tiny_model, tmp_path, ray_engine):
    """A machine whose copy of the model differs must not encode."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    encoder = Encoder.open(without_cache(options, model=str(folder)))
    config = folder / "sentence_bert_config.json"
    config.write_text(config.read_text().replace("64", "32"))
    with pytest.raises(ModelError, match="is another model"):
        encoder.encode(made_up(600), forward=ray_engine.forward)
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match=str(folder)):
        encoder.encode(made_up(600), forward=ray_engine.forward)
