"""Tokens by known words are those of the tokenizer, whatever stands in the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from sbert_cluster.encoder import words as module
from sbert_cluster.encoder.bags import Bags
from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.tokens import Tokenizer
from sbert_cluster.encoder.words import KnownWords

PRINTABLE = "".join(map(chr, range(32, 127)))
PIECES = st.sampled_from(
    ["the", "cat", "RUNNING", "[MASK]", "[mask]", "[CLS]", "[unk]", "x" * 101, "x" * 100, "don't",
     "a-b_c", "3.14", "  ", "\t", "\n", "\x00", "\x7f", "é", "naïve", "東京", "\u2028", "ſ", "K",
     "[", "]"]
)  # fmt: skip
TEXTS = st.lists(
    st.lists(st.one_of(PIECES, st.text(PRINTABLE, max_size=12)), max_size=8).map(" ".join),
    max_size=12,
)


def _raw(folder, length):
    tokenizer = tokenizers.Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    return tokenizer


def _rows(bags):
    return [bags.numbers[a:b].tolist() for a, b in zip(bags.starts, bags.starts[1:], strict=False)]


@given(texts=TEXTS, lower=st.booleans(), length=st.sampled_from([2, 3, 24]))
def test_the_tokens_are_those_of_the_tokenizer(make_model, texts, lower, length):
    folder = make_model(tokenizer_lower_case=lower, max_seq_length=length)
    raw = _raw(folder, length).encode_batch(texts)
    read = Tokenizer(open_checkpoint(str(folder)))(texts)
    assert read.take(range(len(texts))) == [encoding.ids for encoding in raw]
    assert read.truncated.tolist() == [bool(encoding.overflowing) for encoding in raw]


@given(texts=TEXTS, prompt=st.sampled_from(["query: ", "q", "[MASK] ", "über "]))
def test_a_prompt_is_read_with_the_text(make_model, texts, prompt):
    folder = make_model()
    raw = _raw(folder, 24).encode_batch([prompt + text for text in texts])
    read = Tokenizer(open_checkpoint(str(folder), prompt))(texts)
    assert read.take(range(len(texts))) == [encoding.ids for encoding in raw]


def test_the_short_way_is_taken(make_model, monkeypatch):
    """Plain texts never reach the tokenizer as a whole, and a word only once."""
    tokenizer = Tokenizer(open_checkpoint(str(make_model())))
    tokenizer(["a red cat."])
    monkeypatch.setattr(tokenizer, "_tokenizer", None)
    monkeypatch.setattr(tokenizer._words, "_tokenizer", _NothingNew())
    assert len(tokenizer(["a cat.", "Red", "", "."])) == 4


class _NothingNew:
    def encode_batch_fast(self, words):
        assert not words
        return []


def test_only_tokenizers_like_berts_are_read_by_words(make_model):
    for family, is_like in (("bert", True), ("roberta", False), ("xlm-roberta", False)):
        raw = tokenizers.Tokenizer.from_file(str(make_model(family=family) / "tokenizer.json"))
        assert (KnownWords.of(raw) is not None) == is_like
    raw = tokenizers.Tokenizer.from_file(str(make_model() / "tokenizer.json"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    assert KnownWords.of(raw) is None


def test_it_forgets_before_it_knows_too_many(make_model, monkeypatch):
    monkeypatch.setattr(module, "_MOST_KNOWN", 6)
    raw = tokenizers.Tokenizer.from_file(str(make_model() / "tokenizer.json"))
    known = KnownWords.of(raw)
    for texts in (["a b c", "d"], ["a x", "y"], ["a b c d e f g h i"], ["z", "a"]):
        wanted = [raw.encode(text, add_special_tokens=False).ids for text in texts]
        assert _rows(known.tokens(texts)) == wanted
    assert len(known._number) <= 6


@pytest.mark.parametrize("listed", [[], [[]], [[1, 2, 3], [], [4]], [[], [5, 6], [7], []]])
def test_bags_cut_and_frame_like_lists(listed):
    bags = Bags.of(listed)
    assert _rows(bags) == listed
    for first, most in ((0, None), (1, None), (0, 2), (1, 1), (5, 0)):
        stop = None if most is None else first + most
        assert _rows(bags.cut(first, most)) == [row[first:stop] for row in listed]
    for before, behind in (([], []), ([8], [9]), ([8, 7], []), ([], [9, 8, 7])):
        framed = bags.framed(before, behind)
        assert _rows(framed) == [[*before, *row, *behind] for row in listed]
        assert framed.numbers.dtype == np.int32
