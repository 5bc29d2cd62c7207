"""A trained cross-encoder at work, by the packed forward pass where there is one for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbert_cluster.encoder.checkpoint import Checkpoint, open_checkpoint
from sbert_cluster.encoder.device import Place
from sbert_cluster.encoder.encoder import default_batch_tokens
from sbert_cluster.encoder.packed_pairs import PackedClassifier, is_packable
from sbert_cluster.errors import ModelError
from sbert_cluster.options import Precision
from sbert_cluster.training.blend import Blend
from sbert_cluster.training.cross_encoder import (
    BLEND,
    YES,
    CrossEncoder,
    PairReader,
    is_cross_encoder,
)
from sbert_cluster.training.network import choose_training_place
from sbert_cluster.training.saving import read_settings

if TYPE_CHECKING:
    import tokenizers
    import torch


class Reranker(PairReader):
    """A folder of a cross-encoder, ready to be asked.

    Args:
        checkpoint: Of the folder.
        place: Device and number format of the products.

    Raises:
        ModelError: If the weights cannot be loaded.
    """

    def __init__(self, checkpoint: Checkpoint, place: Place) -> None:
        super().__init__(checkpoint, place)
        self._batch_tokens = default_batch_tokens(place)
        self._body: PackedClassifier | CrossEncoder
        if is_packable(checkpoint):
            self._body = PackedClassifier.open(checkpoint, place)
        else:
            self._body = CrossEncoder(checkpoint, place)
            self._body.learning(False)

    @classmethod
    def open(
        cls, name: str, device: str = "auto", precision: Precision = Precision.AUTO
    ) -> Reranker:
        """Open a trained cross-encoder.

        Raises:
            ModelError: If the folder holds none.
        """
        if not is_cross_encoder(name):
            raise ModelError(
                f"{name!r} is no folder of a cross-encoder",
                "Train one with: sbert-cluster train LABELS --cross-encoder --output DIR",
            )
        return cls(open_checkpoint(name), choose_training_place(device, precision))

    @property
    def yes_from(self) -> float:
        """Probability from which the answer alone is a yes: best on rows held out in training."""
        return float(read_settings(self.checkpoint.folder).get(YES, 0.5))

    def blend_with(self, encoder: str) -> Blend | None:
        """How to weigh answers with similarities; None: they were not fitted for this encoder.

        Args:
            encoder: sha256 of its weights.
        """
        found = read_settings(self.checkpoint.folder).get(BLEND)
        made = Blend(**found) if isinstance(found, dict) else None
        return made if made and made.model == encoder else None

    def _logits(self, encodings: list[tokenizers.Encoding]) -> torch.Tensor:
        import torch

        if isinstance(self._body, CrossEncoder):
            return self._body._logits(encodings)
        place, ids, types = self._by_length(encodings)
        return self._body(ids, types)[torch.from_numpy(place)]
