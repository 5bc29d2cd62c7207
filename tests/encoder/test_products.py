"""Products in each number format against float64, and the choice between them."""

from __future__ import annotations

import pytest
import torch

from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.device import Place, choose_place, choose_places, has_bf16_products
from sbert_cluster.encoder.generic import GenericBody
from sbert_cluster.encoder.packed import PackedBody
from sbert_cluster.encoder.products import tiles
from sbert_cluster.encoder.products.operators import (
    Int8Product,
    OneDnnProduct,
    PlainProduct,
    fused_works,
)
from sbert_cluster.encoder.weights import Linear, Norm
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


def tile_product(precision):
    """Makes products by the tile unit, or skips."""

    def make(linear, activation):
        if not tiles.is_available(precision):
            pytest.skip("this processor has no tiles, or torch runs on other threads")
        return tiles.TileProduct(linear, activation, precision)

    return make


KINDS = {
    "plain": (PlainProduct, torch.float32, 1e-4),
    "oneDNN": (OneDnnProduct, torch.float32, 1e-4),
    "int8": (Int8Product, torch.float32, 0.6),
    "tiles fp32": (tile_product(Precision.FP32), torch.float32, 2e-4),
    "tiles bf16": (tile_product(Precision.BF16), torch.bfloat16, 0.15),
    "tiles int8": (tile_product(Precision.INT8), torch.float32, 0.9),
    "tiles int8 in bf16": (tile_product(Precision.INT8), torch.bfloat16, 0.9),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 5, 33, 200])
@pytest.mark.parametrize(("inputs", "outputs"), [(64, 96), (448, 32)])
def test_products_equal_float64(activation, kind, rows, inputs, outputs):
    """Product, activation and norm are those of plain arithmetic, to the format's accuracy."""
    kind, dtype, bound = KINDS[kind]
    if kind is OneDnnProduct and not fused_works(dtype, activation):
        pytest.skip("this build of torch has no fused products")
    if kind is Int8Product and not Int8Product.is_available():
        pytest.skip("this build of torch has no integer products")
    weight, bias, x = random(outputs, inputs), random(outputs, seed=1), random(rows, inputs, seed=2)
    residual, gamma, beta = random(rows, outputs, seed=3), random(outputs), random(outputs, seed=4)
    weight, bias, x, residual, gamma, beta = (
        y.to(dtype) for y in (weight, bias, x, residual, gamma, beta)
    )
    exact = x.double() @ weight.double().T + bias.double()
    normed = Norm(gamma.double(), beta.double(), 1e-5)(exact + residual.double())
    bound *= (inputs / 64) ** 0.5
    with torch.inference_mode():
        product = kind(Linear(weight, bias), activation)
        assert torch.allclose(product(x).double(), exact, atol=bound, rtol=bound / 16)
        expected = ACTIVATIONS[activation](exact)
        found = product.activated(x).double()
        assert torch.allclose(found, expected, atol=bound, rtol=bound / 16)
        found = product.normed(x, residual.clone(), Norm(gamma, beta, 1e-5)).double()
        assert torch.allclose(found, normed, atol=bound / 4, rtol=bound / 16)


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16, Precision.INT8])
def test_tiles_know_no_neighbours(precision):
    """A row becomes the same to the last bit in any place and company, on any number of threads."""
    dtype = torch.float32 if precision is Precision.FP32 else torch.bfloat16
    x = (random(300, 128) * torch.logspace(-3, 3, 300)[:, None]).to(dtype)
    residual = random(300, 64, seed=3).to(dtype)
    norm = Norm(random(64), random(64, seed=4), 1e-12)
    before = torch.get_num_threads()
    try:
        with torch.inference_mode():
            product = tile_product(precision)(Linear(random(64, 128), random(64)), "gelu")
            torch.set_num_threads(2)
            plain, activated, normed = (
                product(x), product.activated(x), product.normed(x, residual, norm),
            )  # fmt: skip
            torch.set_num_threads(1)
            for rows in (slice(0, 1), slice(37, 70), slice(5, 300)):
                assert torch.equal(product(x[rows]), plain[rows])
                assert torch.equal(product.activated(x[rows]), activated[rows])
                assert torch.equal(product.normed(x[rows], residual[rows], norm), normed[rows])
    finally:
        torch.set_num_threads(before)


def test_tiles_are_given_back():
    """What torch multiplies afterwards is right, as its library keeps tiles of its own shape."""
    make = tile_product(Precision.BF16)
    x, weight = random(70, 96).bfloat16(), random(50, 96).bfloat16()
    with torch.inference_mode():
        before = x @ weight.T
        product = make(Linear(random(32, 64), random(32)), "gelu")
        for _ in range(3):
            product(random(40, 64).bfloat16())
            assert torch.equal(x @ weight.T, before)


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
