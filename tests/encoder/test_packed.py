"""The padding-free pass against the padded one of transformers, on the same tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sbert_cluster.encoder import amx
from sbert_cluster.encoder.attention import distance_buckets, fused
from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.device import Place
from sbert_cluster.encoder.generic import GenericBody
from sbert_cluster.encoder.locate import locate_model
from sbert_cluster.encoder.packed import PackedBody
from sbert_cluster.encoder.weights import FAMILIES, is_supported
from sbert_cluster.options import DEFAULT_MODEL, Precision

CPU = Place("cpu", Precision.FP32, "")


def random_texts(lengths: list[int], seed: int) -> list[list[int]]:
    """Random tokens, texts of like length together, as batches come."""
    random = np.random.default_rng(seed)
    return [random.integers(5, 90, length).tolist() for length in sorted(lengths, reverse=True)]


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"camembert"}))
@pytest.mark.parametrize("seed", [0, 1])
def test_packed_equals_padded(make_model, family, seed):
    """Every family gives the vectors of transformers, from 1 token to the maximum."""
    checkpoint = open_checkpoint(str(make_model(family=family)))
    assert is_supported(checkpoint)
    longest = checkpoint.max_seq_length
    lengths = [1, 1, 2, longest, *np.random.default_rng(seed).integers(1, longest, 20).tolist()]
    ids = random_texts(lengths, seed)
    packed, padded = PackedBody(checkpoint, CPU)(ids, 0), GenericBody(checkpoint, CPU)(ids, 0)
    assert torch.allclose(packed, padded, atol=1e-5)


def test_a_text_does_not_feel_its_neighbours(make_model):
    """The vector of a text is the same alone and among others of any length."""
    body = PackedBody(open_checkpoint(str(make_model(family="mpnet"))), CPU)
    ids = random_texts([3, 3, 9, 17, 17, 30], 2)
    alone = torch.cat([body([text], 0) for text in ids])
    assert torch.allclose(body(ids, 0), alone, atol=1e-6)


@pytest.mark.parametrize(
    ("precision", "lowest", "farthest"),
    [(Precision.FP32, 1 - 1e-6, 1e-5), (Precision.BF16, 0.9995, 0.01), (Precision.INT8, 0.97, 0.1)],
)
def test_kernels_of_our_own_agree_with_those_of_torch(monkeypatch, precision, lowest, farthest):
    """The default model, whose products and heads have the sizes that our kernels are made for."""
    checkpoint = open_checkpoint(str(locate_model(DEFAULT_MODEL)))
    random = np.random.default_rng(0)
    lengths = [200, 129, 128, 70, 33, 32, 17, 17, 16, 9, 2, 1]
    ids = [random.integers(1_000, 30_000, length).tolist() for length in lengths]
    ours = PackedBody(checkpoint, Place("cpu", precision, ""))(ids, 0)
    monkeypatch.setattr(amx, "is_there", lambda _: False)
    monkeypatch.setattr(fused, "longest", lambda *_: 0)
    theirs = PackedBody(checkpoint, CPU)(ids, 0)
    assert (ours * theirs).sum(1).min() > lowest
    assert (ours - theirs).abs().max() < farthest


@pytest.mark.parametrize("length", [1, 2, 9, 128, 200, 514])
def test_distance_buckets_equal_those_of_mpnet(length):
    """The numbering of distances is that of the reference implementation."""
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    place = torch.arange(length)
    relative = place[None, :] - place[:, None]
    expected = MPNetEncoder.relative_position_bucket(relative, num_buckets=32)
    assert torch.equal(distance_buckets(length, 32), expected)
