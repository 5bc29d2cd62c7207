"""Products by the tile unit of Intel's processors (AMX), with what follows them in one kernel.

The unit multiplies bfloat16 thirty times as fast as the other units multiply float32. So float32
goes there in parts: a number is the sum of a bfloat16, another one for what is left, and a rest of
2⁻¹⁷ of it, and the product is that of the first parts, plus the two of a first and a second part
(Henry, Tang & Heinecke 2019, "Leveraging the bfloat16 Artificial Intelligence Datatype for
Higher-Precision Computations", section 2). Sums are of float32 throughout.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sbert_cluster.encoder import amx, team
from sbert_cluster.encoder.products.operators import to_int8
from sbert_cluster.encoder.products.shape import ROWS, Shape
from sbert_cluster.encoder.weights import Linear, Norm
from sbert_cluster.machine_code import compiled
from sbert_cluster.options import Precision

if TYPE_CHECKING:
    import torch


_NARROW = 128
"""Inputs below which a product of float32 takes a third part: it averages over few errors, and
costs little."""
_KIND = {Precision.FP32: "bf16", Precision.BF16: "bf16", Precision.INT8: "int8"}
"""Number formats that the kernel knows, and that of the tiles."""


def is_available(precision: Precision) -> bool:
    """Whether this processor, its system and this torch let the kernel run."""
    kind = _KIND.get(precision)
    return kind is not None and amx.is_there(kind) and team.is_there()


def fits(linear: Linear, precision: Precision) -> bool:
    """Whether a weight divides into whole tiles."""
    outputs, inputs = linear.weight.shape
    return outputs % ROWS == 0 and inputs % (64 if precision is Precision.INT8 else 32) == 0


class TileProduct:
    """By our own kernel, on a CPU.

    Int8: each row of x and of W is scaled so that its largest value becomes 127 and rounded; a text
    gets the same vector whatever else is in its batch.

    Args:
        linear: Weight and bias, in the type of what lies between products.
        activation: ``gelu``, ``gelu_new`` or ``relu``.
        precision: One that :func:`is_available`.
    """

    def __init__(self, linear: Linear, activation: str, precision: Precision) -> None:

        self._outputs, self._inputs = linear.weight.shape
        self._precision, self._activation = precision, activation
        weight = linear.weight.float()
        scales = weight.new_ones(self._outputs)
        if precision is Precision.INT8:
            rounded, scales = to_int8(weight)
            parts = [rounded]
        else:
            parts = _split(weight, _parts(precision, self._inputs))
        self._scales = scales.flatten()
        self._weight = _as_tiles(parts)
        self._bias = linear.bias.float().contiguous()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The product."""
        return self._run(x, "")

    def activated(self, x: torch.Tensor) -> torch.Tensor:
        """The product, then the activation."""
        return self._run(x, self._activation)

    def normed(self, x: torch.Tensor, residual: torch.Tensor, norm: Norm) -> torch.Tensor:
        """The product plus ``residual``, then the layer norm."""
        return self._run(x, "norm", residual, norm)

    def _run(
        self,
        x: torch.Tensor,
        ending: str,
        residual: torch.Tensor | None = None,
        norm: Norm | None = None,
    ) -> torch.Tensor:
        import torch

        rows = len(x)
        shape = Shape(
            inputs=self._inputs,
            outputs=self._outputs,
            half=x.dtype == torch.bfloat16,
            parts=_parts(self._precision, self._inputs),
            int8=self._precision is Precision.INT8,
            ending=ending,
            epsilon=norm.epsilon if norm else 0.0,
        )
        if rows % shape.rows:
            x = _filled_up(x, shape.rows)
            residual = None if residual is None else _filled_up(residual, shape.rows)
        x = x.contiguous()
        kind, function = _kernel(shape)
        made = x.new_empty(len(x), self._outputs)
        scratch = team.Scratch(shape.room)
        held = {"x": x, "weight": self._weight, "bias": self._bias, "scales": self._scales}
        if residual is not None and norm is not None:
            held["residual"] = residual.contiguous()
            held["gamma"], held["beta"] = norm.weight.float(), norm.bias.float()
        task = kind(
            **{name: tensor.data_ptr() for name, tensor in held.items()},
            out=made.data_ptr(),
            scratch=scratch.address,
            config=amx.tile_shapes().ctypes.data,
            units=len(x) // shape.rows,
            room=shape.room,
        )
        team.run(function, task)
        return made[:rows]


def _parts(precision: Precision, inputs: int) -> int:
    """Parts that a number is split into."""
    if precision is not Precision.FP32:
        return 1
    return 3 if inputs < _NARROW else 2


def _split(weight: torch.Tensor, parts: int) -> list[torch.Tensor]:
    """bfloat16 tensors whose sum is ``weight``, nearly; each is what the ones before leave."""
    import torch

    found = []
    for _ in range(parts):
        found.append(weight.to(torch.bfloat16))
        weight = weight - found[-1].float()
    return found


def _as_tiles(parts: list[torch.Tensor]) -> torch.Tensor:
    """The weight as the unit reads it: a panel of 32 outputs after the other, two tiles a step.

    A line of a tile holds 4 bytes (2 bfloat16, 4 int8) of neighbouring inputs for each of 16
    outputs.
    """
    import torch

    # In words, of which a line has one for each output: many times as fast as number by number.
    whole = torch.stack(parts).view(torch.int32)
    outputs, words = whole.shape[1:]
    # Dimensions: part, panel, half of the panel, output, step, line.
    whole = whole.view(len(parts), outputs // ROWS, 2, 16, words // 16, 16)
    return whole.permute(1, 4, 0, 2, 5, 3).contiguous()


def _filled_up(x: torch.Tensor, unit: int) -> torch.Tensor:
    """With rows of zeros, up to whole units."""
    from torch.nn.functional import pad

    return pad(x, (0, 0, 0, -len(x) % unit))


@cache
def _kernel(shape: Shape) -> tuple[Any, int]:
    """The type of its task, and its address."""
    from sbert_cluster.encoder.products.assembly import NUMBERS, POINTERS, kernel

    engine = compiled(kernel(shape), improved=True)
    return team.task_type(POINTERS, NUMBERS), engine.get_function_address("multiply")
