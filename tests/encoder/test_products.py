"""Products in each number format against float64, and the choice between them."""

from __future__ import annotations

import pytest
import torch

from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.device import Place, choose_place, choose_places, has_bf16_products
from sbert_cluster.encoder.generic import GenericBody
from sbert_cluster.encoder.packed import PackedBody
from sbert_cluster.encoder.products import (
    Int8Product,
    OneDnnProduct,
    PlainProduct,
    best_products,
)
from sbert_cluster.encoder.weights import Linear
from sbert_cluster.errors import UsageError
from sbert_cluster.options import Precision


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    """Random numbers of the usual size."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


ACTIVATIONS = {
    "gelu": torch.nn.functional.gelu,
    "gelu_new": lambda y: torch.nn.functional.gelu(y, approximate="tanh"),
    "relu": torch.relu,
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("kind", "bound"), [(PlainProduct, 1e-4), (OneDnnProduct, 1e-4), (Int8Product, 0.6)]
)
@pytest.mark.parametrize("rows", [1, 5, 33])
def test_products_equal_float64(activation, kind, bound, rows):
    """Product, activation and residual are those of plain arithmetic, to the format's accuracy."""
    if kind is OneDnnProduct and best_products(torch.float32, "cpu", activation) is PlainProduct:
        pytest.skip("this build of torch has no fused products")
    if kind is Int8Product and not Int8Product.is_available():
        pytest.skip("this build of torch has no integer products")
    weight, bias, x = random(48, 32), random(48, seed=1), random(rows, 32, seed=2)
    residual = random(rows, 48, seed=3)
    exact = x.double() @ weight.double().T + bias.double()
    with torch.inference_mode():
        product = kind(Linear(weight, bias), activation)
        assert torch.allclose(product(x).double(), exact, atol=bound)
        expected = ACTIVATIONS[activation](exact)
        assert torch.allclose(product.activated(x).double(), expected, atol=bound)
        assert torch.allclose(
            product.added(x, residual.clone()).double(), exact + residual, atol=bound
        )


def test_int8_rounds_each_row_by_itself():
    """A row gets the same numbers whatever else is in its batch, even beside giants."""
    if not Int8Product.is_available():
        pytest.skip("this build of torch has no integer products")
    x = random(20, 32) * torch.logspace(-3, 3, 20)[:, None]
    with torch.inference_mode():
        product = Int8Product(Linear(random(48, 32), random(48)), "gelu")
        alone = torch.cat([product(row[None]) for row in x])
        assert torch.equal(product(x), alone)


def test_auto_is_exact_and_says_why():
    """Without a wish the vectors are those of the reference, and the reason is told."""
    place = choose_place("cpu", Precision.AUTO)
    assert place.precision is Precision.FP32
    assert ("bf16" in place.why) == has_bf16_products()
    assert choose_places("cpu", Precision.FP32) == (choose_place("cpu", Precision.FP32),)


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.INT8])
def test_low_formats_are_close_to_fp32(make_model, precision):
    """Vectors in a lower format point where those of fp32 do."""
    checkpoint = open_checkpoint(str(make_model(family="bert")))
    ids = [torch.randint(5, 90, (length,)).tolist() for length in (20, 11, 11, 3)]
    exact = PackedBody(checkpoint, Place("cpu", Precision.FP32, ""))(ids, 0)
    close = PackedBody(checkpoint, choose_place("cpu", precision))(ids, 0)
    assert (exact * close).sum(1).min() > 0.99


def test_int8_is_refused_where_it_does_not_run(make_model):
    """Architectures outside the family have no integer products, and say so."""
    checkpoint = open_checkpoint(str(make_model(family="modernbert")))
    with pytest.raises(UsageError, match="int8 does not run for modernbert"):
        GenericBody(checkpoint, Place("cpu", Precision.INT8, ""))
