"""The model while it learns: a forward pass with gradients and dropout, padded in small batches.

Nothing of a model folder runs: weights are read from safetensors by the encoder's own loader.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sbert_cluster.encoder.batching import batches
from sbert_cluster.encoder.checkpoint import Checkpoint
from sbert_cluster.encoder.device import Place, choose_place, has_bf16_products
from sbert_cluster.encoder.generic import load_transformer
from sbert_cluster.encoder.heap import keep_freed_memory
from sbert_cluster.encoder.pooling import load_dense, pool
from sbert_cluster.encoder.tokens import Tokenizer, Tokens
from sbert_cluster.errors import UsageError
from sbert_cluster.options import Precision
from sbert_cluster.training.unpadded import Unpadded, fits
from sbert_cluster.types import Rows, Vectors

if TYPE_CHECKING:
    import torch

_BATCH_TOKENS = 2_048
"""Tokens of one forward pass on a CPU, padding included: what its caches hold."""
_BATCH_TOKENS_UNPADDED = 4_096
"""The same where nothing is padded: weights are rounded, and gradients added up, once a pass."""
_BATCH_TOKENS_GPU = 16_384
_ROUND = 8
"""Texts are padded to a multiple of this: oneDNN compiles a kernel for every shape it meets."""


def choose_training_place(device: str, precision: Precision) -> Place:
    """Device and number format for training: bf16 where it is native, since it is much faster.

    Weights, gradients and Adam's averages are float32 either way.

    Raises:
        UsageError: If the device is absent, or the format is no format to train in.
    """
    if precision not in (Precision.AUTO, Precision.FP32, Precision.BF16):
        raise UsageError(f"--precision {precision} is not for training", "Use auto, bf16 or fp32.")
    place = choose_place(device, Precision.FP32)
    if precision is not Precision.AUTO:
        return replace(place, precision=precision, why=f"{place.device}; {precision} as asked")
    import torch

    native = has_bf16_products() if place.device == "cpu" else place.device.startswith("cuda")
    if native and (place.device == "cpu" or torch.cuda.is_bf16_supported()):
        return replace(place, precision=Precision.BF16, why="bf16 is native here, and faster")
    return place


@dataclass(frozen=True)
class Shape:
    """What of a model is trained, and how it pools."""

    pooling: tuple[str, ...]
    """Pooling modes."""
    freeze: int = 0
    """Lowest layers that stay as they are; word vectors as well if above 0."""
    lora: int = 0
    """Rank of low-rank adapters; 0: none."""
    dropout: float | None = 0.0
    """Share of numbers that are dropped in training; None: the model's own."""


class Network:
    """An encoder whose weights can be trained.

    Args:
        checkpoint: The model to start from.
        place: Device and number format of the products.
        shape: What is trained, and how it pools.

    Raises:
        ModelError: If the weights cannot be loaded.
        UsageError: If it has fewer layers than are to be frozen, or ``peft`` is not installed.
    """

    def __init__(self, checkpoint: Checkpoint, place: Place, shape: Shape) -> None:
        self.checkpoint, self.place, self.shape = checkpoint, place, shape
        self.body = load_transformer(checkpoint).to(place.device)
        attend_in_steps(self.body, place)
        self.dense = [load_dense(layer).to(place.device) for layer in checkpoint.dense]
        self._padding = int(checkpoint.config.get("pad_token_id") or 0)
        self._tokenizer = Tokenizer(checkpoint)
        self._tokens: Tokens | None = None
        if shape.dropout is not None:
            set_dropout(self.body, shape.dropout)
        if shape.freeze:
            _freeze(self.body, shape.freeze)
        if shape.lora:
            self.body = _with_adapters(self.body, shape.lora)
        self.unpadded = place.device == "cpu" and fits(self.body)
        if place.device == "cpu":
            keep_freed_memory()

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        width = int(self.checkpoint.config.get("hidden_size", self.checkpoint.config.get("dim", 0)))
        if not self.dense:
            return width * len(self.shape.pooling)
        return int(self.dense[-1][0].out_features)  # type: ignore[index]

    def read(self, texts: Sequence[str]) -> None:
        """Tokenise the texts that numbers will stand for."""
        self._tokens = self._tokenizer(list(texts))

    def lengths(self) -> Rows:
        """int64[texts]: tokens of each text."""
        assert self._tokens is not None
        return self._tokens.lengths

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """What is trained, by name."""
        return {k: p for k, p in self._named() if p.requires_grad}

    def _named(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        yield from ((f"body.{k}", p) for k, p in self.body.named_parameters())
        for i, layer in enumerate(self.dense):
            yield from ((f"dense.{i}.{k}", p) for k, p in layer.named_parameters())

    def learning(self, on: bool) -> None:
        """Switch dropout on or off."""
        for module in (self.body, *self.dense):
            module.train(on)

    def chunks(self, numbers: Rows) -> list[Rows]:
        """Cut texts into forward passes of like lengths (section 7 of the paper).

        Args:
            numbers: int64[k], texts.

        Returns:
            Positions in ``numbers``; every position exactly once.
        """
        budget = _BATCH_TOKENS if self.place.device == "cpu" else _BATCH_TOKENS_GPU
        budget = _BATCH_TOKENS_UNPADDED if self.unpadded else budget
        return list(batches(self.lengths()[numbers], budget))

    def forward(self, numbers: Rows, *, exact: bool = False) -> torch.Tensor:
        """Encode texts in one forward pass.

        Args:
            numbers: int64[k], texts.
            exact: In fp32.

        Returns:
            Vectors, not yet of norm 1, float32, with their graph. Shape: (k, dimensions).
        """
        half = self.place.precision is Precision.BF16 and not exact
        pooled = (self._pooled if self.unpadded else self._pooled_padded)(numbers, half=half)
        for layer in self.dense:
            pooled = layer(pooled)
        return pooled

    def _pooled(self, numbers: Rows, *, half: bool) -> torch.Tensor:
        import torch

        assert self._tokens is not None
        order = np.argsort(-self.lengths()[numbers], kind="stable")
        hidden = Unpadded(self.body, half=half)(self._tokens.take(numbers[order]))
        skipped = self._tokenizer.skipped
        pooled = torch.cat([pool(block, None, self.shape.pooling, skipped) for block in hidden])
        return pooled[torch.from_numpy(np.argsort(order, kind="stable"))]

    def _pooled_padded(self, numbers: Rows, *, half: bool) -> torch.Tensor:
        import torch

        assert self._tokens is not None
        longest, device = self.checkpoint.max_seq_length, self.place.device
        tokens, mask = padded(self._tokens.take(numbers), self._padding, longest)
        tokens, mask = tokens.to(device), mask.to(device)
        with torch.autocast(device.partition(":")[0], dtype=torch.bfloat16, enabled=half):
            hidden = self.body(input_ids=tokens, attention_mask=mask).last_hidden_state
        return pool(hidden, mask, self.shape.pooling, self._tokenizer.skipped)

    def vectors(self, numbers: Rows, *, exact: bool = False) -> Vectors:
        """Unit vectors without dropout, by which the model is judged.

        Args:
            numbers: int64[k], texts.
            exact: In fp32, whatever the training runs in.

        Returns:
            float32[k, dimensions].
        """
        import torch

        made = np.empty((len(numbers), self.dimensions), np.float32)
        self.learning(False)
        with torch.no_grad():
            for part in self.chunks(numbers):
                pooled = self.forward(numbers[part], exact=exact)
                unit = torch.nn.functional.normalize(pooled, dim=-1)
                made[part] = unit.float().cpu().numpy()
        self.learning(True)
        return made

    def merged(self) -> torch.nn.Module:
        """The transformer with its adapters, if any, added to the weights."""
        if not self.shape.lora:
            return self.body
        merged: torch.nn.Module = self.body.merge_and_unload()  # type: ignore[operator]
        return merged


def padded(
    ids: Sequence[Sequence[int]], padding: int, longest: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token numbers and their mask. Shapes: both (texts, width), on the CPU.

    Args:
        ids: Token numbers of each text.
        padding: Number of the padding token.
        longest: What the width never exceeds.
    """
    import torch

    width = min(-(-max(map(len, ids)) // _ROUND) * _ROUND, longest)
    tokens = np.full((len(ids), width), padding, np.int64)
    mask = np.zeros((len(ids), width), np.int64)
    for row, text in enumerate(ids):
        tokens[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return torch.from_numpy(tokens), torch.from_numpy(mask)


def attend_in_steps(body: torch.nn.Module, place: Place) -> None:
    """On a CPU, let attention be separate products.

    The gradient of torch's fused attention took three quarters of a step there: 2.3 s of 3 for
    4,600 tokens of short texts in bf16, against 0.75 of 1.2 in separate products.
    """
    choose = getattr(body, "set_attn_implementation", None)
    if place.device == "cpu" and choose:
        choose("eager")


def set_dropout(body: torch.nn.Module, share: float) -> None:
    """Set every dropout of a transformer, that of attention among them."""
    import torch

    for module in body.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share
        # Where attention is one fused product, the share stands beside it as a number.
        for name in ("dropout_prob", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)


def _freeze(body: torch.nn.Module, count: int) -> None:
    layers = _layers(body)
    if count >= len(layers):
        raise UsageError(
            f"--freeze {count} leaves nothing to train of {len(layers)} layers",
            f"Use 0 to {len(layers) - 1}.",
        )
    embeddings = next(m for name, m in body.named_modules() if name.endswith("embeddings"))
    for module in (embeddings, *layers[:count]):
        module.requires_grad_(False)


def _layers(body: torch.nn.Module) -> list[torch.nn.Module]:
    """The transformer's layers, lowest first: the longest list of modules in it."""
    import torch

    lists = [m for m in body.modules() if isinstance(m, torch.nn.ModuleList)]
    return list(max(lists, key=len, default=[]))


def _with_adapters(body: torch.nn.Module, rank: int) -> torch.nn.Module:
    """Low-rank adapters on every linear layer (Hu et al. 2022)."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise UsageError(
            "--lora needs the package peft, which is not installed",
            "Install it with: pip install 'sbert-cluster[lora]'",
        ) from None
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    adapted: torch.nn.Module = get_peft_model(body, config)
    return adapted
