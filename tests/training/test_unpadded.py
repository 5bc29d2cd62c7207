"""Without padding, vectors and gradients are those of ``transformers``."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.options import Precision
from sbert_cluster.training.cross_encoder import CrossEncoder
from sbert_cluster.training.network import choose_training_place
from sbert_cluster.training.unpadded import fits

TEXTS = ["Where is my order?", "I want my money back.", "réponse", "A much longer text " * 9, "?"]


@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
def test_vectors_and_gradients_are_those_of_transformers(network, pooling):
    """In fp32, for texts of several lengths in any order."""
    made = network(TEXTS)
    made.shape = type(made.shape)((pooling,))
    assert made.unpadded
    numbers, found = np.array([3, 0, 4, 1, 2, 0]), []
    for unpadded in (True, False):
        made.unpadded = unpadded
        made.body.zero_grad()
        vectors = made.forward(numbers, exact=True)
        (vectors * torch.arange(vectors.numel()).view_as(vectors).cos()).sum().backward()
        gradients = {k: p.grad.clone() for k, p in made.parameters().items() if p.grad is not None}
        found.append((vectors.detach(), gradients))
    (own, own_gradients), (theirs, their_gradients) = found
    assert torch.allclose(own, theirs, atol=1e-5)
    assert own_gradients.keys() == their_gradients.keys()
    for name, gradient in their_gradients.items():
        assert torch.allclose(own_gradients[name], gradient, atol=1e-4, rtol=1e-4), name


def test_a_cross_encoder_answers_the_same(tiny_model):
    """With token types, in both ways."""
    place = choose_training_place("cpu", Precision.FP32)
    judge = CrossEncoder(open_checkpoint(str(tiny_model)), place)
    pairs = [(a, b) for a in TEXTS for b in TEXTS]
    assert judge.unpadded
    own = judge.score(pairs)
    judge.unpadded = False
    assert np.allclose(own, judge.score(pairs), atol=1e-5)


def test_what_is_not_a_plain_bert_is_left_to_transformers(network):
    """Wrapped layers, such as adapters, and other modules."""
    body = network(TEXTS).body
    assert fits(body)
    query = body.encoder.layer[0].attention.self.query
    body.encoder.layer[0].attention.self.query = torch.nn.Sequential(query)
    body.encoder.layer[0].attention.self.key = type("Wrapped", (torch.nn.Linear,), {})(4, 4)
    assert not fits(body)
    assert not fits(torch.nn.Linear(2, 2))
    assert not fits(None)
