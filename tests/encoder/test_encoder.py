"""Truncation, batches, duplicates, order and memory of the encoder."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.encoder.tokens import Tokenizer
from sbert_cluster.options import EncodeOptions


@pytest.mark.parametrize("prompt", ["", "query: "])
@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "modernbert"])
def test_truncated_is_what_the_tokenizer_says(make_model, encode, random_texts, family, prompt):
    """A text is marked where the tokenizer, without truncation, makes more tokens of it."""
    import tokenizers

    folder = make_model(family=family)
    whole = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    whole.no_truncation()
    lengths = [len(whole.encode(prompt + text).ids) for text in random_texts]
    embeddings = encode(folder, random_texts, prompt=prompt)
    np.testing.assert_array_equal(embeddings.truncated, np.array(lengths) > 24)
    assert 0 < embeddings.truncated.sum() < len(random_texts)


def test_truncation_begins_behind_the_last_token(make_model, encode):
    """A text that fills the length exactly is whole; one token more is cut."""
    exact, longer = " ".join("a" * 22), " ".join("a" * 23)
    embeddings = encode(make_model(), [exact, longer])
    assert embeddings.truncated.tolist() == [False, True]
    np.testing.assert_allclose(*embeddings.vectors, atol=1e-6)


def test_tokens_are_cut_to_the_length(make_model, random_texts):
    """No text has more tokens than the model reads, and each keeps its special tokens."""
    tokens = Tokenizer(open_checkpoint(str(make_model(max_seq_length=9))))(random_texts)
    assert tokens.lengths.max() == 9
    assert len(tokens) == len(random_texts)
    assert all(ids[0] == 2 and ids[-1] == 3 for ids in tokens.take(range(len(tokens))))


def test_truncation_and_padding_of_the_tokenizer_file_do_not_count(edited, encode, random_texts):
    """Truncation and padding that were saved with the tokenizer change nothing."""
    folder = edited()
    wanted = encode(folder, random_texts)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["truncation"] = {
        "max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right",
    }  # fmt: skip
    tokenizer["padding"] = {
        "strategy": {"Fixed": 24}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    embeddings = encode(folder, random_texts)
    np.testing.assert_array_equal(embeddings.vectors, wanted.vectors)
    np.testing.assert_array_equal(embeddings.truncated, wanted.truncated)


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet", "modernbert"])
def test_batches_do_not_change_vectors(make_model, encode, random_texts, family):
    """One text at a time, small batches and large ones give the same vectors."""
    folder = make_model(family=family, pooling=("mean", "max"))
    alone = encode(folder, random_texts, batch_tokens=1)
    for budget in (64, 4096):
        together = encode(folder, random_texts, batch_tokens=budget)
        np.testing.assert_allclose(together.vectors, alone.vectors, atol=1e-6)
        np.testing.assert_array_equal(together.truncated, alone.truncated)


def test_order_is_kept(make_model, encode, random_texts):
    """A permutation of the texts permutes vectors and truncation marks, nothing else."""
    order = np.random.default_rng(3).permutation(len(random_texts))
    embeddings = encode(make_model(), random_texts)
    permuted = encode(make_model(), [random_texts[i] for i in order])
    np.testing.assert_allclose(permuted.vectors, embeddings.vectors[order], atol=1e-6)
    np.testing.assert_array_equal(permuted.truncated, embeddings.truncated[order])


def test_identical_texts_are_encoded_once(make_model, tmp_path):
    """Progress and the cache count distinct texts, and each copy gets the vector of its text."""
    options = EncodeOptions(model=str(make_model()), cache_dir=tmp_path, batch_tokens=16)
    told = []
    encoder = Encoder.open(options)
    long = "parcel " * 60
    texts = ["b", "a", "b", long, "a", "b", long]
    embeddings = encoder.encode(texts, lambda *news: told.append(news))
    assert told[0] == ("encoding", 0, 3, "texts")
    assert told[-1] == ("encoding", 3, 3, "texts")
    assert [done for _, done, _, _ in told] == sorted(done for _, done, _, _ in told)
    assert encoder.count_cached(texts) == 3
    first = [texts.index(text) for text in texts]
    np.testing.assert_array_equal(embeddings.vectors, embeddings.vectors[first])
    assert embeddings.truncated.tolist() == [text == long for text in texts]


def test_texts_that_differ_only_slightly_are_different_texts(make_model, tmp_path):
    """Identity is by character: case, spaces and Unicode form keep texts apart."""
    encoder = Encoder.open(EncodeOptions(model=str(make_model()), cache_dir=tmp_path))
    texts = ["é", "e\u0301", "É", " é", "é ", "\ud800", "?"]
    encoder.encode(texts)
    assert encoder.count_cached(texts) == len(texts)


def test_no_texts(make_model, encode):
    """Nothing in, nothing out, in the right shape."""
    embeddings = encode(make_model(), [])
    assert embeddings.vectors.shape == (0, 32)
    assert embeddings.truncated.shape == (0,)


@pytest.mark.parametrize("use_cache", [True, False], ids=["cache", "no-cache"])
def test_vectors_held_in_a_file(make_model, encode, random_texts, tmp_path, use_cache):
    """Above max_rows_in_memory vectors come from a file that nobody sees, and are the same."""
    options = {"use_cache": use_cache, "cache_dir": tmp_path, "batch_tokens": 64}
    embeddings = encode(make_model(), random_texts, max_rows_in_memory=10, **options)
    assert isinstance(embeddings.vectors, np.memmap) or embeddings.vectors.base is not None
    wanted = encode(make_model(), random_texts, batch_tokens=64)
    np.testing.assert_array_equal(embeddings.vectors, wanted.vectors)
    assert all(".sqlite" in path.name for path in tmp_path.iterdir())


def test_memory_that_may_be_taken_decides_as_well(make_model, encode, monkeypatch):
    """Vectors of more than half of --max-memory lie in a file; by default half of it is free."""
    from sbert_cluster.encoder import encoder

    texts = [f"text {i}" for i in range(5_000)]
    options = {"max_memory": "1M", "batch_tokens": 4_096}
    # 5,000 vectors of 32 numbers are 625 kB.
    assert isinstance(encode(make_model(), texts, **options).vectors, np.memmap)
    assert not isinstance(encode(make_model(), texts).vectors, np.memmap)
    monkeypatch.setattr(encoder, "free_memory_bytes", lambda: 2**20)
    assert isinstance(encode(make_model(), texts).vectors, np.memmap)


def test_windows_are_put_together_again(make_model, encode, random_texts, monkeypatch):
    """Texts that are tokenised in several windows come back in order."""
    from sbert_cluster.encoder import encoder

    wanted = encode(make_model(), random_texts)
    narrow = encoder.windows
    small = {"count": 7, "characters": 300}
    monkeypatch.setattr(encoder, "windows", lambda texts, **_: narrow(texts, **small))
    embeddings = encode(make_model(), random_texts)
    np.testing.assert_allclose(embeddings.vectors, wanted.vectors, atol=1e-6)
    np.testing.assert_array_equal(embeddings.truncated, wanted.truncated)
