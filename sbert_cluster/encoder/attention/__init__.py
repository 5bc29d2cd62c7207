"""Attention within texts that lie end to end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.encoder.attention import fused, varlen
from sbert_cluster.encoder.weights import Stack

if TYPE_CHECKING:
    import torch

_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Texts:
    """Where the texts of a batch lie."""

    starts: NDArray[np.int64]
    """First rows of those that our kernel works on."""
    lengths: NDArray[np.int64]
    """Their rows."""
    longer: list[tuple[slice, int]]
    """Rows that hold other texts of one length, and that length."""
    stop: int
    """Row behind the last text."""
    bounds: torch.Tensor | None
    """On a GPU whose operator takes all lengths at once: where each text begins, and ``stop``."""
    longest: int
    """Rows of the longest text."""


class Attention:
    """Softmax(Q Kᵀ / √size + bias) V of each text, in the fastest way that works here.

    Args:
        stack: The model's heads, and its bias by distance if it has one.
    """

    def __init__(self, stack: Stack) -> None:
        self._heads = stack.heads
        self._table = stack.distance_bias
        self._biases: dict[int, torch.Tensor] = {}
        words = stack.words
        size = words.shape[1] // stack.heads
        self._device = str(words.device)
        plain = self._table is None
        here = plain and words.device.type == "cpu"
        self._longest = fused.longest(size, words.dtype) if here else 0
        self._all_at_once = plain and varlen.works(size, words.dtype, self._device)

    def texts(self, blocks: list[tuple[slice, int]]) -> Texts:
        """What every layer needs to know about a batch.

        Args:
            blocks: Rows that hold texts of one length, and that length.
        """
        own = [block for block in blocks if block[1] <= self._longest]
        starts = [np.arange(rows.start, rows.stop, length) for rows, length in own]
        return Texts(
            starts=np.concatenate([_NONE, *starts]),
            lengths=_lengths(own),
            longer=[block for block in blocks if block[1] > self._longest],
            stop=blocks[-1][0].stop,
            bounds=varlen.bounds_of(_lengths(blocks), self._device) if self._all_at_once else None,
            longest=max(length for _, length in blocks),
        )

    def __call__(self, qkv: torch.Tensor, texts: Texts) -> torch.Tensor:
        """Attend.

        Args:
            qkv: Queries, keys and values side by side. Shape: (rows, 3 × width).
            texts: Of the batch; what lies behind the last one becomes 0.

        Returns:
            Shape: (rows, width).
        """
        mixed = qkv.new_empty(len(qkv), qkv.shape[1] // 3)
        mixed[texts.stop :] = 0
        if texts.bounds is not None:
            own, result = qkv[: texts.stop], mixed[: texts.stop]
            varlen.attend(own, result, texts.bounds, texts.longest, self._heads)
            return mixed
        if len(texts.starts):
            fused.attend(qkv, mixed, texts.starts, texts.lengths, self._heads)
        for rows, length in texts.longer:
            self._attend_alike(qkv[rows], mixed[rows], length)
        return mixed

    def _attend_alike(self, qkv: torch.Tensor, mixed: torch.Tensor, length: int) -> None:
        """Texts of one length, by torch's own operator."""
        from torch.nn.functional import scaled_dot_product_attention

        size = mixed.shape[1] // self._heads
        parts = qkv.view(-1, length, 3, self._heads, size)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(query, key, value, attn_mask=self._bias(length))
        mixed.view(-1, length, self._heads, size).copy_(attended.transpose(1, 2))

    def _bias(self, length: int) -> torch.Tensor | None:
        """MPNet's bias of attention by distance. Shape: (heads, length, length)."""
        if self._table is None:
            return None
        if length not in self._biases:
            buckets = distance_buckets(length, len(self._table)).to(self._table.device)
            self._biases[length] = self._table[buckets].permute(2, 0, 1).contiguous()
        return self._biases[length]


def _lengths(blocks: list[tuple[slice, int]]) -> NDArray[np.int64]:
    """Rows of each text."""
    each = [
        np.full((rows.stop - rows.start) // length, length, np.int64) for rows, length in blocks
    ]
    return np.concatenate([_NONE, *each])


def distance_buckets(length: int, buckets: int, farthest: int = 128) -> torch.Tensor:
    """Number the distances between tokens: near ones singly, far ones in widening steps.

    Raffel et al. 2020 (T5), section 2.1, as MPNet uses it: half of the buckets for each direction.

    Returns:
        int64 bucket of each pair (attending token, attended token). Shape: (length, length).
    """
    import torch

    place = torch.arange(length)
    distance = place[None, :] - place[:, None]
    half = buckets // 2
    single = half // 2
    size = distance.abs()
    steps = torch.log(size.clamp(min=1).float() / single) / math.log(farthest / single)
    far = (single + (steps * (half - single)).long()).clamp(max=half - 1)
    return torch.where(size < single, size, far) + half * (distance > 0)
