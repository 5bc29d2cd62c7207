"""The forward pass of the BERT family without any padding.

The tokens of a batch lie end to end in one matrix, so that every product works on tokens only.
Attention alone needs to know where a text ends. Half the work of the usual padded pass on mixed
lengths goes away, and so do the masks (Reimers & Gurevych 2019, section 7, taken to its end).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sbert_cluster.encoder.attention import Attention, Texts
from sbert_cluster.encoder.blocks import blocks_of_like_length, end_to_end
from sbert_cluster.encoder.checkpoint import Checkpoint
from sbert_cluster.encoder.device import Place, torch_dtype
from sbert_cluster.encoder.heap import keep_freed_memory
from sbert_cluster.encoder.pooling import load_dense, pool
from sbert_cluster.encoder.products import MakeProduct, Product, best_products
from sbert_cluster.encoder.weights import Layer, Norm, Stack, load_stack

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class _Products:
    """The four products of a layer, and its two norms."""

    qkv: Product
    out: Product
    attention_norm: Norm
    up: Product
    down: Product
    output_norm: Norm

    @classmethod
    def of(cls, layer: Layer, product: MakeProduct, stack: Stack) -> _Products:
        """Make the products of a layer."""
        qkv, out, up, down = (
            product(linear, stack.activation)
            for linear in (layer.qkv, layer.out, layer.up, layer.down)
        )
        return cls(qkv, out, layer.attention_norm, up, down, layer.output_norm)


class PackedBody:
    """A forward pass over texts laid end to end.

    Args:
        checkpoint: A model of the BERT family.
        place: Device and number format.

    Raises:
        ModelError: If the weights do not fit the architecture.
    """

    def __init__(self, checkpoint: Checkpoint, place: Place) -> None:
        if place.device == "cpu":
            keep_freed_memory()
        dtype = torch_dtype(place.precision)
        self._stack = load_stack(checkpoint, dtype, place.device)
        product = best_products(place.precision, dtype, place.device, self._stack.activation)
        self._layers = [_Products.of(layer, product, self._stack) for layer in self._stack.layers]
        # The products have their own copy of the weights, laid out for their kernels.
        self._stack = replace(self._stack, layers=())
        self._dense = [load_dense(layer).to(place.device).eval() for layer in checkpoint.dense]
        self._pooling = checkpoint.pooling
        self._device = place.device
        self._attend = Attention(self._stack)

    def __call__(self, ids: list[list[int]], skipped: int) -> torch.Tensor:
        """Encode one batch.

        Args:
            ids: Token numbers of each text; texts of the same length stand together.
            skipped: Leading tokens (a prompt) that take no part in pooling.

        Returns:
            Unit vectors on the CPU, float32. Shape: (len(ids), dimensions).
        """
        import torch

        with torch.inference_mode():
            hidden, blocks = self.states(ids)
            pooled = torch.cat(
                [
                    pool(
                        hidden[rows].view(-1, length, hidden.shape[1]), None, self._pooling, skipped
                    )
                    for rows, length in blocks
                ]
            )
            for dense in self._dense:
                pooled = dense(pooled)
            return torch.nn.functional.normalize(pooled, dim=-1).cpu()

    def states(
        self, ids: list[list[int]], types: list[list[int]] | None = None
    ) -> tuple[torch.Tensor, list[tuple[slice, int]]]:
        """What the last layer gives, in inference mode.

        Args:
            ids: Token numbers of each text; texts of the same length stand together.
            types: The segment of each token, 0 or 1; None: all of the first.

        Returns:
            A vector for each token, and rows without meaning behind the last text, of shape (rows,
            width); and the rows that hold texts of one length, with that length.
        """
        blocks = blocks_of_like_length(ids)
        hidden = self._embed(ids, types, blocks)
        texts = self._attend.texts(blocks)
        for layer in self._layers:
            hidden = self._apply(layer, hidden, texts)
        return hidden, blocks

    def _embed(
        self,
        ids: list[list[int]],
        types: list[list[int]] | None,
        blocks: list[tuple[slice, int]],
    ) -> torch.Tensor:
        """Word, position and segment vectors. Shape: (rows, width)."""
        import torch

        words = self._stack.words[torch.from_numpy(end_to_end(ids)).to(self._device)]
        for rows, length in blocks:
            words[rows].view(-1, length, words.shape[1]).add_(self._stack.positions[:length])
        if types is not None and self._stack.second is not None:
            second = torch.from_numpy(end_to_end(types)).to(self._device) == 1
            words[second] += self._stack.second
        return self._stack.embedding_norm(words)

    def _apply(self, layer: _Products, hidden: torch.Tensor, texts: Texts) -> torch.Tensor:
        """One layer. Shapes: (tokens, width) in and out."""
        mixed = self._attend(layer.qkv(hidden), texts)
        hidden = layer.out.normed(mixed, hidden, layer.attention_norm)
        return layer.down.normed(layer.up.activated(hidden), hidden, layer.output_norm)
