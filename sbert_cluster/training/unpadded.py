"""The forward pass of BERT with gradients and without padding.

As :mod:`sbert_cluster.encoder.packed` does it for encoding: tokens lie end to end in one matrix,
and only attention looks at texts, those of one length together. The weights stay where
``transformers`` has them; in bf16 they are rounded once for each pass, and what lies between the
layers is bf16, too. A step on short texts takes 1.1 s of one core where a padded one under autocast
takes 1.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sbert_cluster.encoder.blocks import blocks_of_like_length, end_to_end

if TYPE_CHECKING:
    import torch

_ACTIVATIONS = ("gelu", "relu")


def fits(body: Any) -> bool:
    """Whether a module is a BERT whose layers are as published: nothing wrapped, nothing added."""
    import torch

    config = getattr(body, "config", None)
    if type(body).__name__ != "BertModel" or config is None:
        return False
    linears = [m for m in body.modules() if isinstance(m, torch.nn.Linear)]
    plain = all(type(m) is torch.nn.Linear and m.bias is not None for m in linears)
    absolute = getattr(config, "position_embedding_type", None) in (None, "absolute")
    decodes = getattr(config, "is_decoder", False)
    return plain and absolute and not decodes and config.hidden_act in _ACTIVATIONS


class Unpadded:
    """Calls the layers of a BERT on tokens laid end to end.

    Args:
        body: A ``BertModel`` that :func:`fits`.
        half: Whether products are bf16.
    """

    def __init__(self, body: Any, *, half: bool) -> None:
        import torch

        self._body = body
        self._dtype = torch.bfloat16 if half else torch.float32
        self._heads = int(body.config.num_attention_heads)

    def __call__(
        self, ids: list[list[int]], types: list[list[int]] | None = None
    ) -> list[torch.Tensor]:
        """Hidden states of the last layer.

        Args:
            ids: Token numbers of each text; texts of one length stand together.
            types: Token types likewise; None: all 0.

        Returns:
            For each run of texts of one length, in order: float32 (texts, length, width).
        """
        blocks = blocks_of_like_length(ids)
        hidden = self._embedded(ids, types)
        for layer in self._body.encoder.layer:
            hidden = self._layer(layer, hidden, blocks)
        return [hidden[rows].view(-1, length, hidden.shape[1]).float() for rows, length in blocks]

    def _embedded(self, ids: list[list[int]], types: list[list[int]] | None) -> torch.Tensor:
        """Word, position and type vectors, and rows without meaning at the end."""
        import torch
        from torch.nn.functional import embedding

        def looked_up(numbers: Sequence[Sequence[int]], table: torch.Tensor) -> torch.Tensor:
            return embedding(torch.from_numpy(end_to_end(numbers)).to(table.device), table)

        places = [range(len(text)) for text in ids]
        parts = self._body.embeddings
        words = looked_up(ids, parts.word_embeddings.weight)
        positions = looked_up(places, parts.position_embeddings.weight)
        kinds = parts.token_type_embeddings.weight
        kind = kinds[0] if types is None else looked_up(types, kinds)
        made = self._norm(words + positions + kind, parts.LayerNorm)
        return self._dropped(made, parts.dropout).to(self._dtype)

    def _layer(
        self, layer: Any, hidden: torch.Tensor, blocks: list[tuple[slice, int]]
    ) -> torch.Tensor:
        """One layer. Shapes: (tokens, width) in and out."""
        from torch.nn import functional

        attention, output = layer.attention, layer.output
        own = attention.self
        mixed = self._attended(hidden, own, blocks)
        mixed = self._dropped(self._linear(mixed, attention.output.dense), attention.output.dropout)
        hidden = self._norm(mixed + hidden, attention.output.LayerNorm)
        inner = self._linear(hidden, layer.intermediate.dense)
        activation = getattr(functional, self._body.config.hidden_act)
        raised = self._linear(activation(inner), output.dense)
        return self._norm(self._dropped(raised, output.dropout) + hidden, output.LayerNorm)

    def _attended(
        self, hidden: torch.Tensor, own: Any, blocks: list[tuple[slice, int]]
    ) -> torch.Tensor:
        """Attention within each text. Shapes: (tokens, width) in and out."""
        import torch
        from torch.nn.functional import linear

        three = (own.query, own.key, own.value)
        weight = torch.cat([one.weight for one in three]).to(self._dtype)
        bias = torch.cat([one.bias for one in three]).to(self._dtype)
        width = hidden.shape[1]
        size = width // self._heads
        made = []
        # Cut once: the gradient of one slice at a time would be as large as the whole, each time.
        sizes = [rows.stop - rows.start for rows, _ in blocks]
        parts = torch.split(linear(hidden, weight, bias)[: sum(sizes)], sizes)
        for part, (_, length) in zip(parts, blocks, strict=True):
            # In fp32: for bf16 a kernel would be compiled, and kept, for every number of texts
            # of every length.
            heads = part.float().view(-1, length, 3, self._heads, size).permute(2, 0, 3, 1, 4)
            query, key, value = heads.reshape(3, -1, length, size).unbind(0)
            scores = torch.bmm(query * size**-0.5, key.transpose(1, 2))
            weights = self._dropped(scores.softmax(-1), own.dropout)
            read = torch.bmm(weights, value).view(-1, self._heads, length, size)
            made.append(read.transpose(1, 2).reshape(-1, width).to(self._dtype))
        made.append(hidden.new_zeros(len(hidden) - blocks[-1][0].stop, width))
        return torch.cat(made)

    def _linear(self, hidden: torch.Tensor, layer: Any) -> torch.Tensor:
        from torch.nn.functional import linear

        return linear(hidden, layer.weight.to(self._dtype), layer.bias.to(self._dtype))

    def _norm(self, hidden: torch.Tensor, norm: Any) -> torch.Tensor:
        from torch.nn.functional import layer_norm

        weight, bias = norm.weight.to(hidden.dtype), norm.bias.to(hidden.dtype)
        return layer_norm(hidden, norm.normalized_shape, weight, bias, norm.eps)

    def _dropped(self, hidden: torch.Tensor, dropout: Any) -> torch.Tensor:
        from torch.nn.functional import dropout as drop

        return (
            drop(hidden, dropout.p, training=True) if self._body.training and dropout.p else hidden
        )
