"""The weights of the BERT family in one shape, whatever a checkpoint calls them.

BERT (Devlin et al. 2019), RoBERTa, XLM-R, CamemBERT, DistilBERT and MPNet are the same stack of
layers under different names; MPNet adds a bias that depends on the distance of two tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sbert_cluster.encoder.checkpoint import OFFSET_POSITIONS, Checkpoint
from sbert_cluster.errors import ModelError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Names:
    """What one family calls its tensors; ``{}`` stands for the number of the layer."""

    prefix: str
    """In front of every name, in checkpoints that were saved with a head."""
    query: str
    key: str
    value: str
    out: str
    attention_norm: str
    up: str
    down: str
    output_norm: str

    def of(self, layer: int) -> Names:
        """The names in one layer."""
        return Names(**{field: name.format(layer) for field, name in vars(self).items()})


_BERT = Names(
    prefix="bert.",
    query="encoder.layer.{}.attention.self.query",
    key="encoder.layer.{}.attention.self.key",
    value="encoder.layer.{}.attention.self.value",
    out="encoder.layer.{}.attention.output.dense",
    attention_norm="encoder.layer.{}.attention.output.LayerNorm",
    up="encoder.layer.{}.intermediate.dense",
    down="encoder.layer.{}.output.dense",
    output_norm="encoder.layer.{}.output.LayerNorm",
)
_ROBERTA = Names(**{**vars(_BERT), "prefix": "roberta."})
_MPNET = Names(
    prefix="mpnet.",
    query="encoder.layer.{}.attention.attn.q",
    key="encoder.layer.{}.attention.attn.k",
    value="encoder.layer.{}.attention.attn.v",
    out="encoder.layer.{}.attention.attn.o",
    attention_norm="encoder.layer.{}.attention.LayerNorm",
    up="encoder.layer.{}.intermediate.dense",
    down="encoder.layer.{}.output.dense",
    output_norm="encoder.layer.{}.output.LayerNorm",
)
_DISTILBERT = Names(
    prefix="distilbert.",
    query="transformer.layer.{}.attention.q_lin",
    key="transformer.layer.{}.attention.k_lin",
    value="transformer.layer.{}.attention.v_lin",
    out="transformer.layer.{}.attention.out_lin",
    attention_norm="transformer.layer.{}.sa_layer_norm",
    up="transformer.layer.{}.ffn.lin1",
    down="transformer.layer.{}.ffn.lin2",
    output_norm="transformer.layer.{}.output_layer_norm",
)

FAMILIES = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "mpnet": _MPNET,
    "distilbert": _DISTILBERT,
}
"""Architectures whose forward pass is our own."""
_HEAD_OF_BERT = ("pooler.dense", "classifier")
_HEAD_OF_ROBERTA = ("classifier.dense", "classifier.out_proj")


@dataclass(frozen=True)
class Linear:
    """A matrix and a bias. Shapes: (outputs, inputs) and (outputs,)."""

    weight: torch.Tensor
    bias: torch.Tensor


@dataclass(frozen=True)
class Norm:
    """A layer norm (Ba et al. 2016). Shapes: (width,) twice."""

    weight: torch.Tensor
    bias: torch.Tensor
    epsilon: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Of each row. Shape: (rows, width) in and out."""
        from torch.nn.functional import layer_norm

        return layer_norm(x, self.bias.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True)
class Layer:
    """One transformer layer (post-norm)."""

    qkv: Linear
    """Query, key and value in one product; outputs = 3 × width."""
    out: Linear
    attention_norm: Norm
    up: Linear
    down: Linear
    output_norm: Norm


@dataclass(frozen=True)
class Stack:
    """All weights of an encoder."""

    words: torch.Tensor
    """Shape: (vocabulary, width)."""
    positions: torch.Tensor
    """Shape: (positions, width); position 0 first, the vector of the first segment added."""
    embedding_norm: Norm
    layers: tuple[Layer, ...]
    distance_bias: torch.Tensor | None
    """MPNet only. Shape: (buckets, heads)."""
    heads: int
    """Attention heads."""
    activation: str
    """``gelu``, ``gelu_new`` or ``relu``."""
    second: torch.Tensor | None = None
    """What a token of a second segment has more than one of the first. Shape: (width,)."""


def is_supported(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint is of a family, and of the usual kind within it."""
    config = checkpoint.config
    return (
        checkpoint.architecture in FAMILIES
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
        and config.get("hidden_act", config.get("activation")) in ("gelu", "gelu_new", "relu")
    )


def load_stack(checkpoint: Checkpoint, dtype: torch.dtype, device: str) -> Stack:
    """Read the weights, without importing transformers.

    Args:
        checkpoint: A model for which :func:`is_supported` holds.
        dtype: Type of all weights.
        device: Where to put them.

    Raises:
        ModelError: If a tensor is missing or has the wrong shape.
    """
    tensors = _Tensors(checkpoint, dtype, device)
    config = checkpoint.config
    names = FAMILIES[checkpoint.architecture]
    count = int(config.get("num_hidden_layers", config.get("n_layers", 0)))
    width = int(config.get("hidden_size", config.get("dim", 0)))
    inner = int(config.get("intermediate_size", config.get("hidden_dim", 0)))
    epsilon = float(config.get("layer_norm_eps", 1e-12))
    segments = tensors.find("embeddings.token_type_embeddings.weight")
    return Stack(
        words=tensors.get("embeddings.word_embeddings.weight", (config["vocab_size"], width)),
        positions=_positions(tensors, checkpoint.architecture, config, segments),
        embedding_norm=tensors.norm("embeddings.LayerNorm", width, epsilon),
        layers=tuple(_layer(tensors, names.of(n), width, inner, epsilon) for n in range(count)),
        distance_bias=tensors.find("encoder.relative_attention_bias.weight"),
        heads=int(config.get("num_attention_heads", config.get("n_heads", 12))),
        activation=str(config.get("hidden_act", config.get("activation"))),
        second=segments[1] - segments[0] if segments is not None and len(segments) > 1 else None,
    )


def load_head(checkpoint: Checkpoint, device: str) -> tuple[Linear, Linear]:
    """The dense layer and the output of a classifier with one output, in float32.

    Raises:
        ModelError: If they are missing or have the wrong shape.
    """
    import torch

    tensors = _Tensors(checkpoint, torch.float32, device)
    width = int(checkpoint.config.get("hidden_size", 0))
    bert = checkpoint.architecture == "bert"
    dense, output = _HEAD_OF_BERT if bert else _HEAD_OF_ROBERTA
    return tensors.linear(dense, (width, width)), tensors.linear(output, (1, width))


def _positions(
    tensors: _Tensors, architecture: str, config: dict[str, Any], segments: torch.Tensor | None
) -> torch.Tensor:
    table = tensors.get("embeddings.position_embeddings.weight")
    if architecture in OFFSET_POSITIONS:
        table = table[int(config.get("pad_token_id", 1)) + 1 :]
    # A text is one segment, so the same vector would be added to every token.
    return table if segments is None else table + segments[0]


def _layer(tensors: _Tensors, names: Names, width: int, inner: int, epsilon: float) -> Layer:
    import torch

    square = (width, width)
    parts = [tensors.linear(name, square) for name in (names.query, names.key, names.value)]
    return Layer(
        qkv=Linear(torch.cat([p.weight for p in parts]), torch.cat([p.bias for p in parts])),
        out=tensors.linear(names.out, square),
        attention_norm=tensors.norm(names.attention_norm, width, epsilon),
        up=tensors.linear(names.up, (inner, width)),
        down=tensors.linear(names.down, (width, inner)),
        output_norm=tensors.norm(names.output_norm, width, epsilon),
    )


class _Tensors:
    """The tensors of a checkpoint by their plain names."""

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype, device: str) -> None:
        from safetensors.torch import load_file

        prefix = FAMILIES[checkpoint.architecture].prefix
        self._name = checkpoint.fingerprint.name
        self._dtype, self._device = dtype, device
        self._tensors = {
            # TensorFlow's names for the two halves of a layer norm live on in old checkpoints.
            key.removeprefix(prefix).replace(".gamma", ".weight").replace(".beta", ".bias"): tensor
            for path in checkpoint.weights
            for key, tensor in load_file(path).items()
        }

    def find(self, name: str) -> torch.Tensor | None:
        """A tensor, if it is there."""
        tensor = self._tensors.get(name)
        return None if tensor is None else tensor.to(self._device, self._dtype)

    def get(self, name: str, shape: tuple[int, ...] | None = None) -> torch.Tensor:
        """A tensor that has to be there, in the shape that the configuration tells."""
        tensor = self.find(name)
        if tensor is None:
            raise self._misfit(f"{name} is missing from its weights")
        if shape is not None and tensor.shape != shape:
            raise self._misfit(f"{name} has shape {tuple(tensor.shape)}, not {shape}")
        return tensor

    def linear(self, name: str, shape: tuple[int, ...]) -> Linear:
        """A weight and its bias."""
        return Linear(self.get(f"{name}.weight", shape), self.get(f"{name}.bias", shape[:1]))

    def norm(self, name: str, width: int, epsilon: float) -> Norm:
        """A layer norm."""
        shape = (width,)
        return Norm(self.get(f"{name}.weight", shape), self.get(f"{name}.bias", shape), epsilon)

    def _misfit(self, reason: str) -> ModelError:
        return ModelError(
            f"model {self._name!r} cannot be loaded ({reason})",
            "Check that its config.json and weights belong together.",
        )
