"""Fused attention against the definition, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.encoder.attention import Attention, fused
from sbert_cluster.encoder.weights import Norm, Stack

TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2}


def reference(qkv, lengths, heads):
    """Softmax(Q Kᵀ / √size) V of each text."""
    width = qkv.shape[1] // 3
    size, start, parts = width // heads, 0, []
    for length in lengths:
        rows = qkv[start : start + length].double().view(length, 3, heads, size)
        query, key, value = rows.permute(1, 2, 0, 3)
        weights = torch.softmax(query @ key.transpose(1, 2) / size**0.5, dim=-1)
        parts.append((weights @ value).transpose(0, 1).reshape(length, width))
        start += length
    return torch.cat(parts)


def random_rows(lengths, width, dtype, seed=0, spread=1.0):
    """Queries, keys and values of texts end to end."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(int(sum(lengths)), 3 * width, generator=generator) * spread
    return rows.to(dtype)


def attended(qkv, lengths, heads):
    """What the kernel gives."""
    lengths = np.array(lengths, np.int64)
    mixed = torch.full((len(qkv), qkv.shape[1] // 3), float("nan"), dtype=qkv.dtype)
    fused.attend(qkv, mixed, np.cumsum(lengths) - lengths, lengths, heads)
    return mixed


def needs(size, dtype):
    """Skip where the processor lacks the instructions."""
    if not fused.longest(size, dtype):
        pytest.skip("this processor lacks the instructions, or torch runs on other threads")


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("size", [32, 64, 96, 128])
def test_equals_the_definition(size, dtype):
    """Every length around whole vectors, for heads of any size."""
    needs(size, dtype)
    lengths = [1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 100, 127, 128, 300]
    qkv = random_rows(lengths, 3 * size, dtype)
    found = attended(qkv, lengths, 3)
    assert (found.double() - reference(qkv, lengths, 3)).abs().max() < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@settings(max_examples=30)
@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=40), seed=st.integers(0, 99))
def test_a_text_does_not_know_its_neighbours(dtype, lengths, seed):
    """To the last bit: what a text becomes depends on nothing but the text."""
    needs(32, dtype)
    qkv = random_rows(lengths, 64, dtype, seed)
    found = attended(qkv, lengths, 2)
    assert (found.double() - reference(qkv, lengths, 2)).abs().max() < TOLERANCE[dtype]
    start = sum(lengths[:-1])
    assert torch.equal(attended(qkv[start:], lengths[-1:], 2), found[start:])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_scores_far_apart(dtype):
    """One key outweighs all others by far: weights too small to be numbers count as nothing."""
    needs(32, dtype)
    qkv = random_rows([20, 50], 32, dtype, spread=40.0)
    found = attended(qkv, [20, 50], 1)
    expected = reference(qkv, [20, 50], 1)
    assert torch.isfinite(found).all()
    assert (found.double() - expected).abs().max() < 40 * TOLERANCE[dtype]


@pytest.mark.parametrize("high", [-300.0, -120.0, -70.0, 70.0, 120.0, 300.0])
@pytest.mark.parametrize("size", [32, 64])
def test_scores_far_from_zero(size, high):
    """Powers of all scores would leave the range of numbers; a softmax knows differences only."""
    needs(size, torch.bfloat16)
    lengths = [5, 40, 70]
    qkv = random_rows(lengths, 2 * size, torch.bfloat16)
    # One number of each query and each key, the same for all texts, moves every score alike.
    for head in range(2):
        qkv[:, head * size] = high
        qkv[:, (2 + head) * size] = size**0.5
    found = attended(qkv, lengths, 2)
    expected = reference(qkv, lengths, 2)
    assert (found.double() - expected).abs().max() < TOLERANCE[torch.bfloat16]


def test_any_number_of_threads():
    """The same bits with one thread and with two."""
    needs(32, torch.float32)
    lengths = list(np.random.default_rng(0).integers(1, 40, 100))
    qkv = random_rows(lengths, 96, torch.float32)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(attended(qkv, lengths, 3))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("size", [8, 32])
def test_the_same_by_torch_alone(monkeypatch, size, dtype):
    """Long texts, and processors without the instructions: torch's own operator."""
    none = torch.zeros(3 * size, dtype=dtype)
    words = torch.zeros(5, 3 * size, dtype=dtype)
    stack = Stack(words, words, Norm(none, none, 1e-12), (), None, 3, "gelu")
    lengths = [200, 150, 150, 9, 9, 9, 4]
    qkv = random_rows([*lengths, 7], 3 * size, dtype)
    blocks = [(slice(0, 200), 200), (slice(200, 500), 150), (slice(500, 527), 9)]
    blocks.append((slice(527, 531), 4))
    attention = Attention(stack)
    found = attention(qkv, attention.texts(blocks))
    assert not found[531:].any()
    monkeypatch.setattr(fused, "longest", lambda *_: 0)
    attention = Attention(stack)
    by_torch = attention(qkv, attention.texts(blocks))
    expected = reference(qkv[:531], lengths, 3)
    for one in (found, by_torch):
        assert (one[:531].double() - expected).abs().max() < TOLERANCE[dtype]
