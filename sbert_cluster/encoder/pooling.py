"""Token vectors of a text → one unit vector.

Reimers & Gurevych 2019, section 3: MEAN (the default), MAX, and the vector of the CLS token.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sbert_cluster.encoder.checkpoint import DenseLayer

if TYPE_CHECKING:
    import torch


def pool(
    hidden: torch.Tensor, mask: torch.Tensor | None, modes: tuple[str, ...], skipped: int = 0
) -> torch.Tensor:
    """Pool the token vectors of texts.

    Args:
        hidden: Token vectors. Shape: (batch, tokens, width), any float type.
        mask: 1 for a token, 0 for padding; None: there is no padding. Shape: (batch, tokens).
        modes: ``mean``, ``max``, ``cls`` or ``mean_sqrt_len``; several are concatenated.
        skipped: Leading tokens (a prompt) that take no part.

    Returns:
        Pooled vectors, float32. Shape: (batch, width * len(modes)).
    """
    import torch

    if mask is None:
        mask = hidden.new_ones(hidden.shape[:2])
    if hidden.shape[:2] != mask.shape:
        raise ValueError(f"mask {tuple(mask.shape)} does not fit hidden {tuple(hidden.shape)}")
    if skipped:
        hidden, mask = hidden[:, skipped:], mask[:, skipped:]
    # Sums over tokens lose digits in half precision, so pooling is always done in float32.
    hidden = hidden.float()
    weights = mask.unsqueeze(-1).float()
    count = weights.sum(1).clamp(min=1e-9)
    parts = []
    for mode in modes:
        if mode == "cls":
            parts.append(hidden[:, 0])
        elif mode == "max":
            parts.append(hidden.masked_fill(weights == 0, float("-inf")).amax(1))
        elif mode in ("mean", "mean_sqrt_len"):
            divisor = count if mode == "mean" else count.sqrt()
            parts.append((hidden * weights).sum(1) / divisor)
        else:
            raise ValueError(f"unknown pooling mode {mode!r}")
    return torch.cat(parts, dim=-1)


def load_dense(layer: DenseLayer) -> torch.nn.Module:
    """Load a Dense module of the sentence-transformers layout, float32."""
    import torch
    from safetensors.torch import load_file

    weights = load_file(Path(layer.folder) / "model.safetensors")
    weight = weights["linear.weight"]
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias="linear.bias" in weights)
    linear.load_state_dict({key.removeprefix("linear."): w for key, w in weights.items()})
    activation: torch.nn.Module = getattr(torch.nn, layer.activation)()
    return torch.nn.Sequential(linear, activation)
