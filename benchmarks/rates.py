"""How fast the machine multiplies matrices of the model's shapes: the limit of every encoder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbert_cluster.options import DEFAULT_MODEL

if TYPE_CHECKING:
    import torch

ROWS = 2_048
"""Tokens in the probed products."""


@dataclass(frozen=True)
class Shapes:
    """The linear layers of the model."""

    layers: int
    products: tuple[tuple[int, int], ...]
    """(inputs, outputs) of the products of one layer."""

    @property
    def flop_per_token(self) -> int:
        """Two operations a weight; attention itself is left out."""
        return 2 * self.layers * sum(inputs * outputs for inputs, outputs in self.products)


@dataclass(frozen=True)
class Probe:
    """The products of some layers, one after the other."""

    multiply: Callable[[], None]
    """All products of one layer."""
    passes: int
    flop: int
    """Operations of one call."""

    def __call__(self) -> None:
        """Run all passes."""
        for _ in range(self.passes):
            self.multiply()


def model_shapes() -> Shapes:
    """The four products of the default model's layers, query, key and value as one."""
    from sbert_cluster.encoder.locate import locate_model

    config = json.loads((locate_model(DEFAULT_MODEL) / "config.json").read_text(encoding="utf-8"))
    width, inner = config["hidden_size"], config["intermediate_size"]
    products = ((width, 3 * width), (width, width), (width, inner), (inner, width))
    return Shapes(config["num_hidden_layers"], products)


def make_probe(precision: str, device: str, seconds: float) -> Probe | None:
    """A probe that runs for about the given time; None where torch has no such product.

    fp32, bf16 and fp16 go through ``torch.nn.functional.linear``, int8 through ``torch._int_mm``.
    """
    import torch

    shapes = model_shapes()
    products = [_product(inputs, outputs, precision, device) for inputs, outputs in shapes.products]

    def multiply() -> None:
        for product in products:
            product()
        if device == "cuda":
            torch.cuda.synchronize()

    try:
        for _ in range(3):
            multiply()
        begun = time.perf_counter()
        multiply()
    # No public list says which products exist: torch is asked by trying.
    except (RuntimeError, AttributeError):
        return None
    passes = max(3, round(seconds / (time.perf_counter() - begun)))
    return Probe(multiply, passes, passes * ROWS * shapes.flop_per_token // shapes.layers)


def _product(inputs: int, outputs: int, precision: str, device: str) -> Callable[[], torch.Tensor]:
    import torch

    generator = torch.Generator().manual_seed(0)
    left = torch.randn(ROWS, inputs, generator=generator)
    weight = torch.randn(outputs, inputs, generator=generator)
    if precision == "int8":
        left, weight = ((40 * matrix).char().to(device) for matrix in (left, weight))
        return lambda: torch._int_mm(left, weight.t())
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    left, weight = left.to(device, dtype), weight.to(device, dtype)
    bias = torch.zeros(outputs, dtype=dtype, device=device)

    def linear() -> torch.Tensor:
        with torch.inference_mode():
            return torch.nn.functional.linear(left, weight, bias)

    return linear
