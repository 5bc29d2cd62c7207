"""The transformer itself, through ``transformers``: any encoder architecture, padded batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sbert_cluster.encoder.checkpoint import Checkpoint
from sbert_cluster.encoder.device import Place, torch_dtype
from sbert_cluster.encoder.pooling import load_dense, pool
from sbert_cluster.errors import ModelError, UsageError
from sbert_cluster.options import Precision

if TYPE_CHECKING:
    import torch


class GenericBody:
    """A forward pass over padded batches.

    Args:
        checkpoint: The model.
        place: Device and number format.

    Raises:
        ModelError: If the weights do not fit the architecture.
        UsageError: For a number format that only our own forward pass has.
    """

    def __init__(self, checkpoint: Checkpoint, place: Place) -> None:
        if place.precision is Precision.INT8:
            raise UsageError(
                f"--precision int8 does not run for {checkpoint.architecture} models",
                "Use auto, bf16 or fp32.",
            )
        self._checkpoint = checkpoint
        self._device = place.device
        # Masked, but some models count positions by it.
        self._padding = int(checkpoint.config.get("pad_token_id") or 0)
        self._model = load_transformer(checkpoint).to(place.device, torch_dtype(place.precision))
        self._dense = [load_dense(layer).to(place.device).eval() for layer in checkpoint.dense]

    def __call__(self, ids: list[list[int]], skipped: int) -> torch.Tensor:
        """Encode one batch.

        Args:
            ids: Token numbers of each text.
            skipped: Leading tokens (a prompt) that take no part in pooling.

        Returns:
            Unit vectors on the CPU, float32. Shape: (len(ids), dimensions).
        """
        import torch

        with torch.inference_mode():
            tokens, mask = self._pad(ids)
            hidden = self._model(input_ids=tokens, attention_mask=mask).last_hidden_state
            pooled = pool(hidden, mask, self._checkpoint.pooling, skipped)
            for layer in self._dense:
                pooled = layer(pooled)
            return torch.nn.functional.normalize(pooled, dim=-1).cpu()

    def _pad(self, ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Pad to the longest text of the batch. Shapes: both (batch, longest)."""
        import torch

        width = max(map(len, ids))
        padding = self._padding
        tokens = torch.tensor([row + [padding] * (width - len(row)) for row in ids])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
        return tokens.to(self._device), mask.to(self._device)


def load_transformer(checkpoint: Checkpoint) -> torch.nn.Module:
    """The transformer of a checkpoint, float32, without dropout until it is told to train.

    Raises:
        ModelError: If the weights do not fit the architecture.
    """
    from transformers import AutoConfig, AutoModel

    try:
        with quiet_transformers():
            safely = {"local_files_only": True, "trust_remote_code": False}
            config = AutoConfig.from_pretrained(str(checkpoint.folder), **safely)
            model: torch.nn.Module
            model, told = AutoModel.from_pretrained(
                str(checkpoint.folder),
                config=config,
                use_safetensors=True,
                output_loading_info=True,
                **safely,
            )
        # What is missing gets random numbers; only the pooler, which is not used here, may.
        missing = [key for key in sorted(told["missing_keys"]) if "pooler." not in key]
        if missing:
            raise ValueError(f"{len(missing)} tensors are missing, such as {missing[0]}")
        return model.float().eval()
    # Anything may come out of a foreign folder: missing tensors, wrong shapes, unknown types.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"model {checkpoint.fingerprint.name!r} cannot be loaded ({reason})",
            "Check that its config.json and weights belong together.",
        ) from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars, and no advice that only concerns people who write training code."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
