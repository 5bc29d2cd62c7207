"""Texts that are longer than the model reads: cut without reading them whole, or read in chunks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tokenizers
import torch

from sbert_cluster import dedup, embed
from sbert_cluster.encoder import estimate, tokens
from sbert_cluster.encoder.cache import cache_files
from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.device import choose_place
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.encoder.tokens import Tokenizer
from sbert_cluster.errors import UsageError
from sbert_cluster.options import EncodeOptions, LongTexts, Precision

FAMILIES = ("bert", "roberta", "xlm-roberta", "mpnet", "modernbert")
LENGTH = 24
"""Tokens that the tiny models read."""


def raw_tokenizer(folder, length=None):
    tokenizer = tokenizers.Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if length:
        tokenizer.enable_truncation(length)
    return tokenizer


@pytest.fixture(scope="module")
def long_texts(random_texts):
    """Texts of 100 to 20,000 characters of every kind, among short ones."""
    rng = np.random.default_rng(5)
    words = [*" ".join(random_texts).split(), "x" * 150, "ab" * 3000, "東京都" * 200, "\u0301"]
    spaces = [" ", " ", " ", "\n", "\t ", "  ", "\u3000", "\u2028", "\x1c", "\u00a0", " " * 900]
    made = []
    for size in rng.integers(20, 500, 25):
        pieces = rng.choice(words, size), rng.choice(spaces, size)
        made.append("".join(word + space for word, space in zip(*pieces, strict=True)))
    return [*made, *random_texts[:20], " " * 5000 + "late", "z" * 9000, "short"]


@pytest.mark.parametrize("reach", [1, 16])
@pytest.mark.parametrize("family", FAMILIES)
def test_cut_before_tokenising_changes_no_token(make_model, long_texts, monkeypatch, family, reach):
    """The tokens are those of the whole text, however early the text is cut before."""
    # Some words are longer than this, so that there is no white space to cut at.
    monkeypatch.setattr(tokens, "FIRST_REACH", reach)
    monkeypatch.setattr(tokens, "_STRETCH", 2000)
    folder = make_model(family=family)
    made = Tokenizer(open_checkpoint(str(folder)))(long_texts)
    wanted = [raw_tokenizer(folder, LENGTH).encode(text) for text in long_texts]
    assert made.take(range(len(made))) == [encoding.ids for encoding in wanted]
    assert made.truncated.tolist() == [bool(encoding.overflowing) for encoding in wanted]
    assert made.text.tolist() == list(range(len(long_texts)))
    assert not made.chunked.any()


def test_texts_beyond_the_longest_reach_are_cut_there_and_marked(make_model, monkeypatch):
    """A text in which no token is found for very long is cut, and that is told."""
    monkeypatch.setattr(tokens, "LONGEST_REACH", 10_000)
    texts = [" " * 20_000 + "late", " " * 9_000 + "late", "z" * 20_000]
    made = Tokenizer(open_checkpoint(str(make_model())))(texts)
    assert made.truncated.tolist() == [True, False, True]
    assert made.lengths[0] == 2 < made.lengths[1]


CHILD = """
import json, resource, sys
import numpy as np, torch
from pathlib import Path
from sbert_cluster.encoder.device import choose_place
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.options import EncodeOptions

torch.set_num_threads(1)
def peak():
    # macOS counts bytes, Linux kilobytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
encoder = Encoder.open(EncodeOptions(model=sys.argv[1], cache_dir=Path(sys.argv[2]), device="cpu"))
encoder.encode(["a text", "another"])
grown = {}
def measure(name, texts):
    before = peak()
    encoder.encode(texts)
    grown[name] = peak() - before
measure("many", [f"parcel {i}" for i in range(60_000)])
measure("words", ["where is my parcel " * 2_600_000])
measure("one word", ["a" * 50_000_000])
print(json.dumps(grown))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows measures memory otherwise")
def test_memory_is_bounded(tiny_model, tmp_path):
    """60,000 texts, and single texts of 50 MB, take little more memory than their vectors."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tiny_model), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    grown = json.loads(done.stdout)
    assert grown["many"] < 200 * 2**20
    # A text that is looked up is also copied once to UTF-8.
    assert grown["words"] < 300 * 2**20
    assert grown["one word"] < 300 * 2**20


def chunks_by_hand(folder, text, prompt=""):
    """Token numbers and weight of each chunk, from the definition."""
    raw = raw_tokenizer(folder)
    empty = raw.encode("").ids
    before, behind = ([*empty[:1]], [*empty[1:]])
    of_prompt = raw.encode(prompt, add_special_tokens=False).ids
    own = raw.encode(prompt + text, add_special_tokens=False).ids[len(of_prompt) :]
    room = LENGTH - 2 - len(of_prompt)
    overlap = room // 8
    made, start = [], 0
    while not made or start + overlap < len(own):
        part = own[start : start + room]
        made.append(([*before, *of_prompt, *part, *behind], len(part)))
        start += room - overlap
    return made


def average_by_hand(folder, text, prompt=""):
    """The vector of a text that is read in chunks, by sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    total = 0
    for ids, weight in chunks_by_hand(folder, text, prompt):
        row = torch.tensor([ids])
        with torch.no_grad():
            made = model({"input_ids": row, "attention_mask": torch.ones_like(row)})
        vector = made["sentence_embedding"][0].double().numpy()
        total = total + weight * vector / np.linalg.norm(vector)
    return total / np.linalg.norm(total)


@pytest.mark.parametrize("prompt", ["", "query: "])
@pytest.mark.parametrize("family", FAMILIES)
def test_chunks_equal_the_hand_computation(make_model, encode, random_texts, family, prompt):
    """Long texts have the weighted average of their chunks, the others the usual vector."""
    folder = make_model(family=family)
    truncated = encode(folder, random_texts, prompt=prompt)
    embeddings = encode(folder, random_texts, prompt=prompt, long_texts=LongTexts.CHUNK)
    assert not embeddings.truncated.any()
    np.testing.assert_array_equal(embeddings.chunked, truncated.truncated)
    assert truncated.chunked is None
    whole = ~embeddings.chunked
    np.testing.assert_allclose(embeddings.vectors[whole], truncated.vectors[whole], atol=1e-6)
    for row in np.flatnonzero(embeddings.chunked)[:8]:
        wanted = average_by_hand(folder, random_texts[row], prompt)
        np.testing.assert_allclose(embeddings.vectors[row], wanted, atol=1e-5)


def test_batches_and_places_do_not_change_averages(make_model, encode, long_texts):
    """The chunks of a text may be spread over any batches."""
    options = {"long_texts": LongTexts.CHUNK}
    alone = encode(make_model(), long_texts, batch_tokens=1, **options)
    together = encode(make_model(), long_texts, batch_tokens=4096, **options)
    np.testing.assert_allclose(together.vectors, alone.vectors, atol=1e-6)
    np.testing.assert_array_equal(together.chunked, alone.chunked)
    np.testing.assert_allclose(np.linalg.norm(alone.vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_text_too_long_for_the_tokenizer_is_read_in_stretches(
    make_model, long_texts, monkeypatch, family
):
    """Tokenising in stretches gives the tokens of the whole text, with the prompt only once."""
    checkpoint = open_checkpoint(str(make_model(family=family)), "query: ")
    texts = [text.replace("\x1c", " ") for text in long_texts]
    whole = Tokenizer(checkpoint, LongTexts.CHUNK)(texts)
    monkeypatch.setattr(tokens, "_STRETCH", 20_000)
    stretched = Tokenizer(checkpoint, LongTexts.CHUNK)(texts)
    np.testing.assert_array_equal(stretched.numbers, whole.numbers)
    np.testing.assert_array_equal(stretched.starts, whole.starts)
    assert (np.bincount(whole.text) > 1).tolist() == whole.chunked.tolist()
    assert whole.lengths.max() == LENGTH


def test_prompt_that_leaves_no_room_is_refused(make_model, encode):
    """Where the prompt fills the model's length there are no chunks to speak of."""
    prompt = "where is my parcel " * 20
    with pytest.raises(UsageError, match="of the 24 tokens") as caught:
        encode(make_model(), ["a text"], prompt=prompt, long_texts=LongTexts.CHUNK)
    assert "--long-texts truncate" in caught.value.remedy


def test_prompt_that_leaves_room_for_one_token(make_model, encode):
    """Chunks of a single token are read as well."""
    raw = raw_tokenizer(make_model())
    prompt = "a " * (LENGTH - 3)
    assert len(raw.encode(prompt).ids) == LENGTH - 1
    text = "a b a"
    embeddings = encode(make_model(), [text], prompt=prompt, long_texts=LongTexts.CHUNK)
    wanted = average_by_hand(make_model(), text, prompt)
    np.testing.assert_allclose(embeddings.vectors[0], wanted, atol=1e-5)


def test_both_ways_share_the_cache(make_model, random_texts, tmp_path):
    """Texts that fit are encoded once for both ways; of long ones both vectors are kept."""
    texts = list(dict.fromkeys(random_texts))

    def run(way):
        options = EncodeOptions(model=str(make_model()), cache_dir=tmp_path, long_texts=way)
        encoder, told = Encoder.open(options), []
        known = encoder.count_cached(texts)
        embeddings = encoder.encode(texts, lambda *news: told.append(news[1]))
        assert told[0] == known
        return known, embeddings

    (none, cut), (some, chunked) = run(LongTexts.TRUNCATE), run(LongTexts.CHUNK)
    long = int(cut.truncated.sum())
    assert (none, some) == (0, len(texts) - long)
    for way, wanted in ((LongTexts.CHUNK, chunked), (LongTexts.TRUNCATE, cut)):
        known, again = run(way)
        assert known == len(texts)
        np.testing.assert_array_equal(again.vectors, wanted.vectors)
        np.testing.assert_array_equal(again.truncated, wanted.truncated)
        assert (again.chunked is None) == (wanted.chunked is None)
    np.testing.assert_array_equal(run(LongTexts.CHUNK)[1].chunked, cut.truncated)
    (file,) = cache_files(tmp_path)
    assert file.vectors == len(texts) + long


def test_copies_share_the_chunks(make_model, encode):
    """Each copy of a text has its vector and its mark; vectors in files are no exception."""
    texts = ["short", "where is my parcel " * 30, "short", "where is my parcel " * 30]
    options = {"long_texts": LongTexts.CHUNK, "max_rows_in_memory": 1}
    embeddings = encode(make_model(), texts, **options)
    assert embeddings.chunked.tolist() == [False, True, False, True]
    np.testing.assert_array_equal(embeddings.vectors[2:], embeddings.vectors[:2])
    assert isinstance(embeddings.vectors, np.memmap)


def test_chunks_are_counted_and_said(tiny_model):
    """The manifest names the way, and the notes say how many texts were read in chunks."""
    frame = pl.DataFrame({"text": ["a parcel", "where is my parcel " * 60, None, "late " * 99]})
    options = {"model": str(tiny_model), "long_texts": "chunk", "cache": False}
    for manifest in (dedup(frame, **options).manifest, embed(frame, **options).manifest):
        assert manifest.arguments["long_texts"] == "chunk"
        assert manifest.counts["truncated"] == 0
        assert "2 texts are longer than 64 tokens and were read in chunks" in manifest.notes
    cut = dedup(frame, model=str(tiny_model), cache=False).manifest
    assert cut.counts["truncated"] == 2
    assert not any("chunks" in note for note in cut.notes)


def test_chunks_count_in_the_estimate(tiny_model, monkeypatch):
    """Every token of a long text is read, and an eighth of them twice."""
    monkeypatch.setattr(estimate, "flop_per_second", lambda _: 1e9)
    checkpoint = open_checkpoint(str(tiny_model))
    place = choose_place("cpu", Precision.FP32)
    longest = checkpoint.max_seq_length
    short, long = ["kettle"] * 5, ["kettle stove " * longest] * 5

    def seconds(texts, how):
        return estimate.seconds_to_encode(checkpoint, place, texts, how)

    cut, whole = (seconds(long, how) for how in (LongTexts.TRUNCATE, LongTexts.CHUNK))
    tokens_of_text = 2 + len(long[0]) / 4.2
    assert whole / cut == pytest.approx(8 / 7 * tokens_of_text / longest, rel=0.01)
    assert seconds(short, LongTexts.TRUNCATE) == seconds(short, LongTexts.CHUNK) < cut
