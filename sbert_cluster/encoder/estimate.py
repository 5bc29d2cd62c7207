"""How long encoding will take, from a short probe of the machine."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sbert_cluster.encoder.checkpoint import Checkpoint
from sbert_cluster.encoder.device import Place, torch_dtype
from sbert_cluster.encoder.products import best_products
from sbert_cluster.encoder.tokens import OVERLAP
from sbert_cluster.encoder.weights import Linear
from sbert_cluster.options import LongTexts

_EFFICIENCY = 0.6
"""Share of that rate that a forward pass reaches: 0.5 to 0.8, measured on CPUs."""
_TOKENS_PER_SECOND = 250_000
"""That a core tokenises, which is all that a static model takes time for."""
_CHARACTERS_PER_TOKEN = 4.2
"""Of English; of other scripts a token is taken for every character."""


def seconds_to_encode(
    checkpoint: Checkpoint,
    place: Place,
    texts: Sequence[str],
    long_texts: LongTexts = LongTexts.TRUNCATE,
) -> float:
    """Rough seconds of the forward passes over texts, without loading the model."""
    longest, lengths = checkpoint.max_seq_length, [_tokens(text) for text in texts]
    if long_texts is LongTexts.CHUNK:
        # Each chunk but the first reads the end of the one before once more.
        tokens = sum(n if n <= longest else round(n / (1 - OVERLAP)) for n in lengths)
    else:
        tokens = sum(min(longest, n) for n in lengths)
    if checkpoint.is_static:
        return tokens / _TOKENS_PER_SECOND
    return tokens * _flop_per_token(checkpoint) / (_EFFICIENCY * flop_per_second(place))


def flop_per_second(place: Place, *, width: int = 384, repeats: int = 5) -> float:
    """Rate of a product as the forward pass does it, with its activation, in FLOP/s.

    Shape: (2048, width) @ (width, 4 * width).
    """
    import torch

    dtype = torch_dtype(place.precision)
    with torch.inference_mode():
        x = torch.ones(2_048, width, device=place.device, dtype=dtype)
        weight = torch.ones(4 * width, width, device=place.device, dtype=dtype)
        make = best_products(place.precision, dtype, place.device, "gelu")
        product = make(Linear(weight, weight[:, 0].contiguous()), "gelu")
        best = float("inf")
        for _ in range(repeats):
            begun = time.perf_counter()
            # Reading one number back waits for the device.
            float(product.activated(x)[0, 0])
            best = min(best, time.perf_counter() - begun)
    return 2.0 * len(x) * weight.numel() / best


def _tokens(text: str) -> int:
    return 2 + (int(len(text) / _CHARACTERS_PER_TOKEN) if text.isascii() else len(text))


def _flop_per_token(checkpoint: Checkpoint) -> float:
    """Two operations a weight of the layers; attention itself is small at usual lengths."""
    config = checkpoint.config
    layers = int(config.get("num_hidden_layers", config.get("n_layers", 12)))
    width = int(config.get("hidden_size", config.get("dim", 768)))
    inner = int(config.get("intermediate_size", config.get("hidden_dim", 4 * width)))
    return 2.0 * layers * (4 * width * width + 2 * width * inner)
