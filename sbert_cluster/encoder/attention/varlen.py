"""Attention of texts of any lengths at once on an NVIDIA GPU, by torch's own operator.

One launch serves a whole batch, where texts of like length would need one for each length. Torch
calls the operator a prototype, so it is asked for only where it has given the right answer.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_TRIAL, _HEADS = (3, 1, 17), 2
"""Tokens of the texts that the operator is tried on, and their heads."""
_TOLERANCE = 2e-2
"""By which bf16 may differ from the definition, for numbers around 1."""


@cache
def works(size: int, dtype: torch.dtype, device: str) -> bool:
    """Whether the operator runs here and is right, found out by trying it.

    Args:
        size: Numbers of a head.
        dtype: Of the numbers; there is no operator for float32.
        device: ``cuda:N``, or another, where it never works.
    """
    import torch

    if not device.startswith("cuda") or dtype not in (torch.float16, torch.bfloat16):
        return False
    try:
        return _is_right(size, dtype, device)
    except (ImportError, RuntimeError, TypeError):
        # An older torch, an older GPU, a size of heads that the operator does not know.
        return False


def bounds_of(lengths: NDArray[np.int64], device: torch.device | str) -> torch.Tensor:
    """Where each text begins, and where the last one ends. int32[texts + 1], on the device."""
    import torch

    ends = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=ends[1:])
    return torch.from_numpy(ends).to(device)


def attend(
    qkv: torch.Tensor, mixed: torch.Tensor, bounds: torch.Tensor, longest: int, heads: int
) -> None:
    """Write softmax(Q Kᵀ / √size) V of each text into ``mixed``, without any mask.

    Args:
        qkv: float16 or bfloat16, queries, keys and values side by side. Shape: (tokens, 3 × width).
        mixed: The result, of the same type. Shape: (tokens, width).
        bounds: From :func:`bounds_of`.
        longest: Tokens of the longest text.
        heads: Number of heads; the size of each is width / heads.
    """
    import torch
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = qkv.view(len(qkv), 3, heads, -1).unbind(1)
    made = varlen_attn(query, key, value, bounds, bounds, longest, longest)
    assert isinstance(made, torch.Tensor)
    mixed.copy_(made.view_as(mixed))


def _is_right(size: int, dtype: torch.dtype, device: str) -> bool:
    """Whether a few random texts are mixed as the definition says."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    lengths = np.array(_TRIAL, np.int64)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(int(lengths.sum()), 3 * _HEADS * size, generator=generator).to(dtype)
    mixed = torch.empty(len(rows), _HEADS * size, dtype=dtype, device=device)
    attend(rows.to(device), mixed, bounds_of(lengths, device), max(_TRIAL), _HEADS)
    expected = []
    for text in torch.split(rows.float(), list(_TRIAL)):
        query, key, value = text.view(len(text), 3, _HEADS, size).permute(1, 2, 0, 3)
        expected.append(scaled_dot_product_attention(query, key, value).transpose(0, 1).flatten(1))
    return bool((mixed.float().cpu() - torch.cat(expected)).abs().max() < _TOLERANCE)
