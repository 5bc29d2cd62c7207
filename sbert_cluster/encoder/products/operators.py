"""Matrix products with what follows them, by torch's operators.

oneDNN can lay a weight out once for its kernels and apply an activation or a residual while a
result is still in the cache. Torch's own compiler reaches it by operators that are not public, so
they are tried out before they are relied on; where they are missing or give other numbers, plain
public operators do the same work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbert_cluster.encoder.weights import Linear, Norm

if TYPE_CHECKING:
    import torch

TYPICAL_ROWS = 2_048
"""Rows for which oneDNN lays a weight out; others work as well."""


class PlainProduct:
    """By public operators, on any device.

    Args:
        linear: Weight and bias.
        activation: ``gelu``, ``gelu_new`` or ``relu``.
    """

    def __init__(self, linear: Linear, activation: str) -> None:
        self._weight, self._bias = linear.weight, linear.bias
        self._activation = activation

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The product."""
        from torch.nn.functional import linear

        return linear(x, self._weight, self._bias)

    def activated(self, x: torch.Tensor) -> torch.Tensor:
        """The product, then the activation."""
        return self.activate(self(x))

    def activate(self, y: torch.Tensor) -> torch.Tensor:
        """The activation alone."""
        from torch.nn.functional import gelu, relu

        if self._activation == "relu":
            return relu(y)
        return gelu(y, approximate="tanh" if self._activation == "gelu_new" else "none")

    def normed(self, x: torch.Tensor, residual: torch.Tensor, norm: Norm) -> torch.Tensor:
        """The product plus ``residual``, then the layer norm."""
        return norm(self(x).add_(residual))


class OneDnnProduct:
    """By oneDNN's fused operators, on a CPU.

    Args:
        linear: Weight and bias.
        activation: ``gelu``, ``gelu_new`` or ``relu``.
    """

    def __init__(self, linear: Linear, activation: str) -> None:
        import torch

        # Calls that exist in the compiler's interest only; see the head of this module.
        self._ops = torch.ops.mkldnn
        self._weight = self._ops._reorder_linear_weight(linear.weight, TYPICAL_ROWS)
        self._bias = linear.bias
        self._name = "relu" if activation == "relu" else "gelu"
        self._kind = {"gelu": "none", "gelu_new": "tanh", "relu": ""}[activation]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The product."""
        y: torch.Tensor = self._ops._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return y

    def activated(self, x: torch.Tensor) -> torch.Tensor:
        """The product, then the activation."""
        fused = self._ops._linear_pointwise
        y: torch.Tensor = fused(x, self._weight, self._bias, self._name, [], self._kind)
        return y

    def normed(self, x: torch.Tensor, residual: torch.Tensor, norm: Norm) -> torch.Tensor:
        """The product plus ``residual``, then the layer norm."""
        fused = self._ops._linear_pointwise.binary
        return norm(fused(x, residual, self._weight, self._bias, "add"))


class Int8Product:
    """By integer products: weights rounded once for each output, inputs for each token.

    Each row of x and of W is scaled so that its largest value becomes 127 and rounded; a text gets
    the same vector whatever else is in its batch. The integer product is exact; what is lost is the
    rounding, at most half a step a value.

    Args:
        linear: Weight and bias.
        activation: ``gelu``, ``gelu_new`` or ``relu``.
    """

    def __init__(self, linear: Linear, activation: str) -> None:
        import torch

        weight, scale = to_int8(linear.weight.float())
        # The kernel wants the weight column by column, which is what the transpose of rows is.
        self._weight = weight.t()
        self._scale = scale.t()
        self._bias = linear.bias.float()
        # Not public: is_available tries it out before it is relied on.
        self._multiply = torch._int_mm
        self._rest = PlainProduct(linear, activation)

    @staticmethod
    def is_available() -> bool:
        """Whether this build of torch multiplies integers rightly on the CPU."""
        import torch

        a = torch.arange(-64, 64, dtype=torch.int8).reshape(4, 32)
        b = torch.arange(-96, 96, dtype=torch.int8).reshape(6, 32).t()
        try:
            return torch.equal(torch._int_mm(a, b), a.int() @ b.int())
        except (AttributeError, RuntimeError, TypeError):
            return False

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The product."""
        import torch

        rounded, scale = to_int8(x)
        y = self._multiply(rounded, self._weight).float()
        return torch.addcmul(self._bias, y.mul_(scale), self._scale).to(x.dtype)

    def activated(self, x: torch.Tensor) -> torch.Tensor:
        """The product, then the activation."""
        return self._rest.activate(self(x))

    def normed(self, x: torch.Tensor, residual: torch.Tensor, norm: Norm) -> torch.Tensor:
        """The product plus ``residual``, then the layer norm."""
        return norm(self(x).add_(residual))


def to_int8(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round each row to 255 steps. Shapes: (n, k) → int8 (n, k), and the steps (n, 1)."""
    import torch

    # In bf16 the division could give 127.5, which rounds to more than a byte holds.
    x = x.float()
    low, high = torch.aminmax(x, dim=1, keepdim=True)
    scale = torch.maximum(high, -low).clamp_(min=1e-8) / 127
    return (x / scale).round_().to(torch.int8), scale


def fused_works(dtype: torch.dtype, activation: str) -> bool:
    """Whether oneDNN's operators are there and agree with the public ones on random numbers."""
    import torch

    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    with torch.inference_mode():
        linear = Linear(random(48, 32), random(48))
        x, residual = random(7, 32), random(7, 48)
        norm = Norm(random(48), random(48), 1e-12)
        plain = PlainProduct(linear, activation)
        try:
            fused = OneDnnProduct(linear, activation)
            pairs = (
                (fused(x), plain(x)),
                (fused.activated(x), plain.activated(x)),
                (fused.normed(x, residual, norm), plain.normed(x, residual, norm)),
            )
        # A missing operator is an AttributeError, a changed one a RuntimeError or TypeError.
        except (AttributeError, RuntimeError, TypeError):
            return False
        bound = 1e-4 if dtype == torch.float32 else 0.15
        return all(torch.allclose(a, b, atol=bound, rtol=bound) for a, b in pairs)
