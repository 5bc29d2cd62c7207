"""Matrix products with what follows them, in the fastest way that works here.

A layer is four products, and between them only a bias, an activation, a residual and a norm. Where
the processor multiplies tiles (AMX), a kernel of our own does a product with all that follows it
(``tiles``, ``assembly``); elsewhere torch's operators do (``operators``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from sbert_cluster.encoder.products import tiles
from sbert_cluster.encoder.products.operators import (
    Int8Product,
    OneDnnProduct,
    PlainProduct,
    fused_works,
)
from sbert_cluster.encoder.weights import Linear, Norm
from sbert_cluster.options import Precision

if TYPE_CHECKING:
    import torch


class Product(Protocol):
    """x ↦ x Wᵀ + b, with the steps that may follow. Shape: (rows, inputs) → (rows, outputs)."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The product."""

    def activated(self, x: torch.Tensor) -> torch.Tensor:
        """The product, then the activation."""

    def normed(self, x: torch.Tensor, residual: torch.Tensor, norm: Norm) -> torch.Tensor:
        """The product plus ``residual``, of the shape of the result; then the layer norm."""


MakeProduct = Callable[[Linear, str], Product]
"""Makes a product of a weight and the name of the activation that may follow."""


def best_products(
    precision: Precision, dtype: torch.dtype, device: str, activation: str
) -> MakeProduct:
    """The fastest kind of product that works here.

    Args:
        precision: Number format of the products.
        dtype: Of what lies between them.
        device: Where the weights lie.
        activation: The one that will be used.
    """
    other = _by_operators(precision, dtype, device, activation)
    if device != "cpu" or not tiles.is_available(precision):
        return other

    def make(linear: Linear, activation: str) -> Product:
        if tiles.fits(linear, precision):
            return tiles.TileProduct(linear, activation, precision)
        return other(linear, activation)

    return make


def _by_operators(
    precision: Precision, dtype: torch.dtype, device: str, activation: str
) -> MakeProduct:
    if precision is Precision.INT8:
        return Int8Product
    return OneDnnProduct if device == "cpu" and fused_works(dtype, activation) else PlainProduct
