"""Attention of all lengths at once: the arguments anywhere, the operator itself on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sbert_cluster.encoder.attention import Attention, varlen
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.encoder.weights import Norm, Stack
from sbert_cluster.options import EncodeOptions, Precision

LENGTHS = [30, 30, 9, 9, 9, 4, 1]
BLOCKS = [(slice(0, 60), 30), (slice(60, 87), 9), (slice(87, 91), 4), (slice(91, 92), 1)]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


def by_definition(query, key, value, bounds, key_bounds, longest, longest_key, **_):
    """What torch's operator promises, text by text. Shapes: (tokens, heads, size)."""
    assert torch.equal(bounds, key_bounds)
    assert bounds.dtype == torch.int32
    assert longest == longest_key == (bounds[1:] - bounds[:-1]).max()
    parts = []
    for start, stop in zip(bounds.tolist(), bounds[1:].tolist(), strict=False):
        q, k, v = (part[start:stop].float().transpose(0, 1) for part in (query, key, value))
        weights = torch.softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, dim=-1)
        parts.append((weights @ v).transpose(0, 1))
    return torch.cat(parts).to(query.dtype)


def stack_of(dtype, size=32, device="cpu"):
    """Three heads, and nothing else that attention asks for."""
    words = torch.zeros(5, 3 * size, dtype=dtype, device=device)
    norm = Norm(words[0], words[0], 1e-12)
    return Stack(words, words, norm, (), None, 3, "gelu")


def test_never_on_a_cpu_nor_in_fp32():
    assert not varlen.works(32, torch.bfloat16, "cpu")
    assert not varlen.works(32, torch.float32, "cuda:0")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_batch_is_handed_over_as_the_operator_wants_it(monkeypatch, dtype):
    """The operator has no CPU form, so its definition stands in for it."""
    qkv = torch.randn(100, 3 * 96, generator=torch.Generator().manual_seed(0)).to(dtype)
    plain = Attention(stack_of(dtype))
    expected = plain(qkv, plain.texts(BLOCKS))
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", by_definition)
    monkeypatch.setattr(varlen, "works", lambda *_: True)
    attention = Attention(stack_of(dtype))
    texts = attention.texts(BLOCKS)
    assert texts.bounds.tolist() == [0, *np.cumsum(LENGTHS)]
    found = attention(qkv, texts)
    assert not found[92:].any()
    assert (found.float() - expected.float()).abs().max() < 2e-2


def test_it_is_believed_only_where_it_is_right(monkeypatch):
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", by_definition)
    assert varlen._is_right(32, torch.bfloat16, "cpu")
    wrong = lambda *args, **_: by_definition(*args) * 1.5  # noqa: E731
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", wrong)
    assert not varlen._is_right(32, torch.bfloat16, "cpu")


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_the_operator_itself(dtype):
    qkv = torch.randn(100, 3 * 96, generator=torch.Generator().manual_seed(0)).to(dtype)
    plain = Attention(stack_of(dtype))
    attention = Attention(stack_of(dtype, device="cuda:0"))
    found = attention(qkv.to("cuda:0"), attention.texts(BLOCKS)).cpu()
    expected = plain(qkv, plain.texts(BLOCKS))
    assert not found[92:].any()
    assert (found[:92].float() - expected[:92].float()).abs().max() < 2e-2


@needs_gpu
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16, Precision.BF16])
def test_vectors_on_a_gpu_are_those_of_the_cpu(tiny_model, precision):
    texts = ["one", "two words", "a text of a few more words than that", ""] * 20

    def vectors(device, precision):
        options = EncodeOptions(
            model=str(tiny_model), device=device, precision=precision, use_cache=False
        )
        return Encoder.open(options).encode(texts).vectors

    cosines = (vectors("cuda", precision) * vectors("cpu", Precision.FP32)).sum(1)
    assert cosines.min() > (0.99999 if precision is Precision.FP32 else 0.995)
