"""A classifier's forward pass over pairs of texts, without any padding.

The two texts of a pair are one text with two segments to the model; what is read of it is the
vector of its first token, through a dense layer with tanh and an output (Devlin et al. 2019,
section 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_cluster.encoder.checkpoint import Checkpoint
from sbert_cluster.encoder.device import Place
from sbert_cluster.encoder.packed import PackedBody
from sbert_cluster.encoder.weights import Linear, is_supported, load_head

if TYPE_CHECKING:
    import torch


def is_packable(checkpoint: Checkpoint) -> bool:
    """Whether :class:`PackedClassifier` runs a model. DistilBERT has another head."""
    return is_supported(checkpoint) and checkpoint.architecture != "distilbert"


@dataclass(frozen=True)
class PackedClassifier:
    """A classifier of pairs with one output."""

    body: PackedBody
    dense: Linear
    output: Linear

    @classmethod
    def open(cls, checkpoint: Checkpoint, place: Place) -> PackedClassifier:
        """Read the weights.

        Args:
            checkpoint: For which :func:`is_packable` holds.
            place: Device and number format.

        Raises:
            ModelError: If the weights do not fit, or have no head of one output.
        """
        return cls(PackedBody(checkpoint, place), *load_head(checkpoint, place.device))

    def __call__(self, ids: list[list[int]], types: list[list[int]] | None) -> torch.Tensor:
        """Read one batch.

        Args:
            ids: Token numbers of each pair; pairs of the same length stand together.
            types: The segment of each token, 0 or 1; None: the model knows no segments.

        Returns:
            Logits on the CPU, float32. Shape: (len(ids), 1).
        """
        import torch
        from torch.nn.functional import linear

        with torch.inference_mode():
            hidden, blocks = self.body.states(ids, types)
            first = torch.cat([hidden[rows][::length] for rows, length in blocks]).float()
            pooled = torch.tanh(linear(first, self.dense.weight, self.dense.bias))
            return linear(pooled, self.output.weight, self.output.bias).cpu()
