"""Words for writing LLVM's language: vectors of sixteen numbers, bfloat16, loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import factorial, log

from llvmlite import ir

LANES = 16
"""Numbers that are worked on together."""


class _BFloat(ir.types.Type):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F32, POINTER, NOTHING = ir.FloatType(), ir.PointerType(), ir.VoidType()
VECTOR, WORDS = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
HALVES = ir.VectorType(_BFloat(), LANES)

# 2^f = Σ (f ln 2)^k / k!; with |f| ≤ 1/2 the terms left out are below 2e-7.
_POWERS = [log(2) ** k / factorial(k) for k in range(7)]

# 2^f for 0 ≤ f < 1; fitted so that the largest relative error is the smallest.
_ROUGH_POWERS = (0.999925222, 0.695833472, 0.226067356, 0.0780243815)


@dataclass
class Code:
    """A builder, and what it needs to know."""

    module: ir.Module
    builder: ir.IRBuilder

    def at(self, base: ir.Value, index: ir.Value | int, step: int = 1) -> ir.Value:
        """The address ``index · step`` bytes behind another."""
        place = whole(index) if isinstance(index, int) else index
        return self.builder.gep(base, [self.builder.mul(place, whole(step))], source_etype=I8)

    def load(self, place: ir.Value, kind: ir.Type, align: int = 4) -> ir.Value:
        """A value in memory."""
        return self.builder.load(place, typ=kind, align=align)

    def fetch_early(self, place: ir.Value) -> None:
        """Tell the processor that a line of memory will be read soon; it may lie anywhere."""
        kinds = [ir.Constant(I32, value) for value in (0, 3, 1)]
        self.call("llvm.prefetch.p0", NOTHING, place, *kinds)

    def splat(self, value: ir.Value) -> ir.Value:
        """A vector of one value."""
        none = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
        first = self.builder.insert_element(none, value, ir.Constant(I32, 0))
        return self.builder.shuffle_vector(first, none, filled(WORDS, 0))

    def call(self, name: str, kind: ir.Type, *values: ir.Value, loose: bool = False) -> ir.Value:
        """A function of LLVM's own; loose: sums may be taken in any order."""
        if name not in self.module.globals:
            ir.Function(self.module, ir.FunctionType(kind, [v.type for v in values]), name)
        flags = ("reassoc",) if loose else ()
        return self.builder.call(self.module.globals[name], values, fastmath=flags)

    def fused(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """Products and sums: x · y + z."""
        return self.call(f"llvm.fmuladd.v{LANES}f32", VECTOR, x, y, z)

    def larger(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """The larger of each two."""
        return self.call(f"llvm.maxnum.v{LANES}f32", VECTOR, x, y)

    def smaller(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """The smaller of each two."""
        return self.call(f"llvm.minnum.v{LANES}f32", VECTOR, x, y)

    def power(self, x: ir.Value) -> ir.Value:
        """2 to the x, for x ≤ 126; what would be smaller than any normal number is the smallest."""
        b = self.builder
        x = self.larger(x, filled(VECTOR, -126.0))
        nearest = self.call(f"llvm.rint.v{LANES}f32", VECTOR, x)
        part = b.fsub(x, nearest)
        y = filled(VECTOR, _POWERS[-1])
        for coefficient in reversed(_POWERS[:-1]):
            y = self.fused(y, part, filled(VECTOR, coefficient))
        exponent = b.shl(b.fptosi(nearest, WORDS), filled(WORDS, 23))
        return b.bitcast(b.add(b.bitcast(y, WORDS), exponent), VECTOR)

    def rough_power(self, x: ir.Value) -> ir.Value:
        """2 to the x, to within 1e-4 of it; less than the rounding to bfloat16 takes."""
        none, all_lanes = filled(VECTOR, 0.0), ir.Constant(I16, -1)
        current = ir.Constant(I32, 4)
        down = ir.Constant(I32, 1)
        reduce, scale = (f"llvm.x86.avx512.mask.{name}.ps.512" for name in ("reduce", "scalef"))
        part = self.call(reduce, VECTOR, x, down, none, all_lanes, current)
        y = filled(VECTOR, _ROUGH_POWERS[-1])
        for coefficient in reversed(_ROUGH_POWERS[:-1]):
            y = self.fused(y, part, filled(VECTOR, coefficient))
        return self.call(scale, VECTOR, y, x, none, all_lanes, current)

    def rough_inverse(self, x: ir.Value) -> ir.Value:
        """1 / x, to within 2⁻¹⁴ of it; less than the rounding to bfloat16 takes."""
        none, all_lanes = filled(VECTOR, 0.0), ir.Constant(I16, -1)
        return self.call("llvm.x86.avx512.rcp14.ps.512", VECTOR, x, none, all_lanes)

    def turned(self, rows: Sequence[ir.Value]) -> list[ir.Value]:
        """Sixteen rows of sixteen words as columns: one bit of row and lane swaps at a time."""
        rows = list(rows)
        for bit in (8, 4, 2, 1):
            lanes = range(LANES)
            upper = [k if not k & bit else LANES + (k ^ bit) for k in lanes]
            lower = [k ^ bit if not k & bit else LANES + k for k in lanes]
            for place in (k for k in lanes if not k & bit):
                pair = rows[place], rows[place | bit]
                for to, chosen in ((place, upper), (place | bit, lower)):
                    rows[to] = self.builder.shuffle_vector(*pair, ir.Constant(WORDS, chosen))
        return rows

    def tile(self, name: str, *values: ir.Value | int) -> None:
        """An instruction of the tile unit (AMX); whole numbers are its registers."""
        kinds = [ir.Constant(I8, v) if isinstance(v, int) else v for v in values]
        self.call(f"llvm.x86.{name}", NOTHING, *kinds)

    def clear_sums(self) -> None:
        """Registers 0 to 3: sums of two tiles by two."""
        for register in range(4):
            self.tile("tilezero", register)

    def narrowed(self, x: ir.Value) -> ir.Value:
        """Sixteen numbers as bfloat16, rounded to the nearest, halves to even."""
        return self.builder.fptrunc(x, HALVES)

    def widened(self, x: ir.Value) -> ir.Value:
        """Sixteen bfloat16 as float32: each is the upper half of the float32 of its value."""
        b = self.builder
        words = b.zext(b.bitcast(x, ir.VectorType(I16, LANES)), WORDS)
        return b.bitcast(b.shl(words, filled(WORDS, 16)), VECTOR)

    def read(self, place: ir.Value, *, half: bool) -> ir.Value:
        """Sixteen numbers, bfloat16 or float32, as float32."""
        if not half:
            return self.load(place, VECTOR)
        return self.widened(self.load(place, HALVES, 2))

    def write(self, place: ir.Value, x: ir.Value, *, half: bool) -> None:
        """Write sixteen numbers as bfloat16 or float32."""
        self.builder.store(self.narrowed(x) if half else x, place, align=2)

    def total(self, x: ir.Value) -> ir.Value:
        """The sum of sixteen numbers."""
        kind = f"llvm.vector.reduce.fadd.v{LANES}f32"
        return self.call(kind, F32, ir.Constant(F32, 0.0), x, loose=True)

    def largest(self, x: ir.Value) -> ir.Value:
        """The largest of sixteen numbers."""
        return self.call(f"llvm.vector.reduce.fmax.v{LANES}f32", F32, x)


def whole(value: int) -> ir.Constant:
    """A constant of 64 bits."""
    return ir.Constant(I64, value)


def filled(kind: ir.VectorType, value: float) -> ir.Constant:
    """A constant vector of one value."""
    return ir.Constant(kind, [value] * kind.count)


@dataclass
class Loop:
    """The inside of a loop."""

    index: ir.Value
    carried: list[ir.PhiInstr]
    """What goes from one turn to the next; behind the loop, what the last one left."""
    becomes: Sequence[ir.Value] = ()
    """What is carried into the next turn."""


@contextmanager
def loop(
    code: Code,
    stop: ir.Value,
    step: int,
    carried: Sequence[ir.Value] = (),
    start: ir.Value | None = None,
) -> Iterator[Loop]:
    """``for index in range(start, stop, step)``."""
    b = code.builder
    head, body, after = (b.append_basic_block(name) for name in ("head", "body", "after"))
    before = b.block
    b.branch(head)
    b.position_at_end(head)
    index = b.phi(I64)
    index.add_incoming(whole(0) if start is None else start, before)
    phis = [b.phi(value.type) for value in carried]
    for phi, value in zip(phis, carried, strict=True):
        phi.add_incoming(value, before)
    b.cbranch(b.icmp_signed("<", index, stop), body, after)
    b.position_at_end(body)
    inside = Loop(index, phis)
    yield inside
    index.add_incoming(b.add(index, whole(step)), b.block)
    for phi, value in zip(phis, inside.becomes, strict=True):
        phi.add_incoming(value, b.block)
    b.branch(head)
    b.position_at_end(after)
