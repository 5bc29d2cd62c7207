"""The kernel of products in LLVM's language: tiles, then what follows, in one pass.

A unit of work is 32 rows of x, or twice as many. They meet the weight a panel of 32 outputs at a
time: four tiles of 16 × 16 sums, to which every step adds the products of two tiles of x and two of
the weight. The sums go through memory, since nothing else can read a tile. What follows them (bias,
activation or norm, rounding) is done a few rows at a time while the tile unit works on the next
panel, or for a norm, which needs whole rows, on the next unit; so it costs hardly any time of its
own.

The weight streams through once for each unit, so it is read with the hint that it need not stay in
the first cache, which x and the sums fill.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from llvmlite import ir

from sbert_cluster.encoder.language import (
    F32,
    I8,
    I64,
    LANES,
    NOTHING,
    POINTER,
    VECTOR,
    WORDS,
    Code,
    filled,
    loop,
    whole,
)
from sbert_cluster.encoder.products.activations import activated
from sbert_cluster.encoder.products.shape import PAIR, ROWS, TILE, Shape

POINTERS = (
    "x", "weight", "bias", "scales", "out", "residual", "gamma", "beta", "scratch", "config",
)  # fmt: skip
NUMBERS = ("units", "room", "next", "thread")
"""The task, eight bytes a field.

x, out, residual: rows without gaps. weight: tiles. bias, scales (of outputs; int8 only), gamma,
beta: float32. config: of the tiles. scratch: ``room`` bytes a thread, on a cache line. next,
thread: counters, 0 at first.
"""

_UNROLLED = 4
"""Vectors of a row that are summed side by side, where the row allows."""


def kernel(shape: Shape) -> str:
    """A module with one function, ``multiply(task)``, that each thread runs."""
    module = ir.Module()
    module.triple = ""
    code = _Code(module, ir.IRBuilder(), shape)
    function = ir.Function(module, ir.FunctionType(NOTHING, [POINTER]), "multiply")
    code.builder.position_at_end(function.append_basic_block("entry"))
    _multiply(code, function.args[0])
    return str(module)


@dataclass
class _Code(Code):
    """A builder that knows the shape."""

    shape: Shape


class _Task:
    """The fields of the task, and where the scratch of this thread is divided."""

    def __init__(self, code: _Code, task: ir.Value) -> None:
        b, shape = code.builder, code.shape
        place = {name: code.at(task, 8 * k) for k, name in enumerate((*POINTERS, *NUMBERS))}
        self.next = place["next"]
        self.units = code.load(place["units"], I64, 8)
        values = {name: code.load(place[name], POINTER, 8) for name in POINTERS}
        self.x, self.weight, self.out = values["x"], values["weight"], values["out"]
        self.bias, self.scales, self.residual = (
            values[name] for name in ("bias", "scales", "residual")
        )
        self.gamma, self.beta, self.config = (values[name] for name in ("gamma", "beta", "config"))
        thread = b.atomic_rmw("add", place["thread"], whole(1), "monotonic")
        own = code.at(values["scratch"], b.mul(thread, code.load(place["room"], I64, 8)))
        self.tiles = own
        self.sums = code.at(own, shape.blocks * shape.block_bytes)
        self.row_scales = code.at(self.sums, 2 * shape.sums_bytes)
        self.nowhere = code.at(self.row_scales, 2 * shape.scales_bytes)
        self.row = code.at(self.nowhere, shape.row_room)
        self.before = code.at(self.row, shape.row_room)


class _Pending:
    """Sums that are not finished: where they lie, and where they belong.

    At first it points to scratch, which is finished to nowhere.
    """

    def __init__(self, code: _Code, task: _Task) -> None:
        self._code = code
        first = {
            "sums": task.sums,
            "row_scales": task.row_scales,
            "out": task.nowhere,
            "residual": task.nowhere,
            "bias": task.bias,
            "scales": task.scales,
            "gap": whole(0),
            "which": whole(0),
        }
        self._places = {name: code.builder.alloca(v.type) for name, v in first.items()}
        self._kinds = {name: value.type for name, value in first.items()}
        self.put(**first)

    def put(self, **values: ir.Value) -> None:
        """Set fields."""
        for name, value in values.items():
            self._code.builder.store(value, self._places[name])

    def get(self, name: str) -> ir.Value:
        """Read a field."""
        return self._code.builder.load(self._places[name], typ=self._kinds[name])

    def other(self) -> ir.Value:
        """0 and 1 in turn: which of two scratches is free."""
        which = self._code.builder.xor(self.get("which"), whole(1))
        self.put(which=which)
        return which


def _multiply(code: _Code, argument: ir.Value) -> None:
    """Take units until none is left; then finish what is pending."""
    b, shape = code.builder, code.shape
    task = _Task(code, argument)
    pending = _Pending(code, task)
    # The library that torch multiplies with believes the tiles to be as it left them.
    code.tile("sttilecfg", task.before)
    code.tile("ldtilecfg", task.config)
    with _units(code, task) as unit:
        if shape.is_norm:
            _norm_unit(code, task, pending, unit)
        else:
            _plain_unit(code, task, pending, unit)
    with loop(code, whole(shape.rows if shape.is_norm else ROWS), 1) as row:
        if shape.is_norm:
            _finish_norm(code, task, pending, row.index)
        else:
            _finish_plain(code, pending, row.index)
    code.tile("ldtilecfg", task.before)
    b.ret_void()


@contextmanager
def _units(code: _Code, task: _Task) -> Iterator[ir.Value]:
    """Numbers of units, taken from the counter that the threads share."""
    b = code.builder
    check, work, done = (b.append_basic_block(name) for name in ("check", "work", "done"))
    b.branch(check)
    b.position_at_end(check)
    unit = b.atomic_rmw("add", task.next, whole(1), "monotonic")
    b.cbranch(b.icmp_signed("<", unit, task.units), work, done)
    b.position_at_end(work)
    yield unit
    b.branch(check)
    b.position_at_end(done)


def _plain_unit(code: _Code, task: _Task, pending: _Pending, unit: ir.Value) -> None:
    """All panels of the rows; those of one block are finished while the next is multiplied."""
    b, shape = code.builder, code.shape
    _prepare(code, task, unit, task.row_scales)
    gap = shape.outputs * shape.number
    out = code.at(task.out, unit, shape.rows * gap)
    rows = -(-ROWS // shape.steps)
    with loop(code, whole(shape.panels), 1) as panel, loop(code, whole(shape.blocks), 1) as block:
        sums = code.at(task.sums, pending.other(), shape.sums_bytes)
        x = _block(code, task, unit, block.index)
        code.clear_sums()
        with loop(code, whole(shape.steps), 1) as step:
            _add_products(code, task, x, panel.index, step.index)
            for number in range(rows):
                row = b.add(b.mul(step.index, whole(rows)), whole(number))
                _finish_plain(code, pending, _at_most(code, row, ROWS))
        _store_sums(code, sums)
        pending.put(
            sums=sums,
            row_scales=code.at(task.row_scales, block.index, 4 * ROWS),
            out=code.at(code.at(out, block.index, ROWS * gap), panel.index, ROWS * shape.number),
            bias=code.at(task.bias, panel.index, 4 * ROWS),
            scales=code.at(task.scales, panel.index, 4 * ROWS),
            gap=whole(gap),
        )
    if shape.int8:
        # The next unit's rows have other scales.
        with loop(code, whole(ROWS), 1) as row:
            _finish_plain(code, pending, row.index)
        pending.put(out=task.nowhere, gap=whole(0))


def _norm_unit(code: _Code, task: _Task, pending: _Pending, unit: ir.Value) -> None:
    """All panels of the rows; rows of the unit before are finished meanwhile."""
    b, shape = code.builder, code.shape
    which = pending.other()
    sums = code.at(task.sums, which, shape.sums_bytes)
    row_scales = code.at(task.row_scales, which, shape.scales_bytes)
    _prepare(code, task, unit, row_scales)
    rows = min(-(-ROWS // shape.panels), shape.steps)
    with loop(code, whole(shape.panels), 1) as panel, loop(code, whole(shape.blocks), 1) as block:
        x = _block(code, task, unit, block.index)
        turn = b.add(b.mul(panel.index, whole(shape.blocks)), block.index)
        code.clear_sums()
        for number in range(rows):
            row = b.add(b.mul(turn, whole(rows)), whole(number))
            _finish_norm(code, task, pending, _at_most(code, row, shape.rows))
            start, stop = (shape.steps * k // rows for k in (number, number + 1))
            with loop(code, whole(stop), 1, start=whole(start)) as step:
                _add_products(code, task, x, panel.index, step.index)
        block_sums = code.at(sums, block.index, ROWS * shape.line_bytes)
        _store_sums(code, code.at(block_sums, panel.index, 4 * ROWS))
    # Of few panels each would have to finish more rows than it has steps.
    finished = min(shape.rows, rows * shape.panels * shape.blocks)
    with loop(code, whole(shape.rows), 1, start=whole(finished)) as row:
        _finish_norm(code, task, pending, row.index)
    size = shape.outputs * shape.number
    pending.put(
        sums=sums,
        row_scales=row_scales,
        out=code.at(task.out, unit, shape.rows * size),
        residual=code.at(task.residual, unit, shape.rows * size),
        gap=whole(size),
    )


def _at_most(code: _Code, row: ir.Value, rows: int) -> ir.Value:
    """Rows are finished as often as it takes to finish all; the last one more than once."""
    b, last = code.builder, whole(rows - 1)
    return b.select(b.icmp_signed("<", row, last), row, last)


def _prepare(code: _Code, task: _Task, unit: ir.Value, row_scales: ir.Value) -> None:
    """Rows of x as tiles, where they are not read as they are."""
    b, shape = code.builder, code.shape
    if shape.as_it_is:
        return
    size = shape.inputs * shape.number
    x = code.at(task.x, unit, shape.rows * size)
    with loop(code, whole(shape.rows), 1) as row:
        come = code.at(x, row.index, size)
        block = code.at(task.tiles, b.lshr(row.index, whole(5)), shape.block_bytes)
        half = code.at(block, b.and_(b.lshr(row.index, whole(4)), whole(1)), TILE)
        to = code.at(half, b.and_(row.index, whole(15)), 64)
        if shape.int8:
            _round_row(code, come, to, code.at(row_scales, row.index, 4))
        else:
            _split_row(code, come, to)


def _block(code: _Code, task: _Task, unit: ir.Value, block: ir.Value) -> tuple[ir.Value, ir.Value]:
    """32 rows of x: where they begin, and the bytes from one line of a tile to the next."""
    b, shape = code.builder, code.shape
    if not shape.as_it_is:
        return code.at(task.tiles, block, shape.block_bytes), whole(64)
    size = shape.inputs * shape.number
    row = b.add(b.mul(unit, whole(shape.blocks)), block)
    return code.at(task.x, row, ROWS * size), whole(size)


def _round_row(code: _Code, come: ir.Value, to: ir.Value, scale: ir.Value) -> None:
    """A row as bytes; its largest number becomes 127."""
    b, shape = code.builder, code.shape
    gap = LANES * shape.number
    with loop(code, whole(shape.inputs // LANES), 1, [filled(VECTOR, 1e-8)]) as part:
        x = code.read(code.at(come, part.index, gap), half=shape.half)
        part.becomes = [code.larger(part.carried[0], code.call("llvm.fabs.v16f32", VECTOR, x))]
    largest = code.largest(part.carried[0])
    steps = ir.Constant(F32, 127.0)
    b.store(b.fdiv(largest, steps), scale, align=4)
    factor = code.splat(b.fdiv(steps, largest))
    with loop(code, whole(shape.steps), 1) as step:
        for quarter in range(4):
            place = code.at(code.at(come, step.index, 4 * gap), quarter * gap)
            x = b.fmul(code.read(place, half=shape.half), factor)
            rounded = b.fptosi(code.call("llvm.rint.v16f32", VECTOR, x), WORDS)
            line = code.at(code.at(to, step.index, PAIR), quarter * LANES)
            b.store(b.trunc(rounded, ir.VectorType(I8, LANES)), line, align=LANES)


def _split_row(code: _Code, come: ir.Value, to: ir.Value) -> None:
    """A row in parts of bfloat16."""
    b, shape = code.builder, code.shape
    gap = LANES * shape.number
    with loop(code, whole(shape.steps), 1) as step:
        for half in range(2):
            x = code.read(code.at(code.at(come, step.index, 2 * gap), half * gap), half=shape.half)
            line = code.at(code.at(to, step.index, shape.parts * PAIR), 2 * LANES * half)
            for part in range(shape.parts):
                rounded = code.narrowed(x)
                b.store(rounded, code.at(line, part * PAIR), align=2 * LANES)
                x = b.fsub(x, code.widened(rounded))


def _add_products(
    code: _Code,
    task: _Task,
    rows: tuple[ir.Value, ir.Value],
    panel: ir.Value,
    step: ir.Value,
) -> None:
    """Add one step's products to the sums in registers 0 to 3.

    Parts that stand for 2⁻¹⁷ of a number or less are left out of the product with each other. Each
    tile of the weight is read once, x again from the first cache.
    """
    shape = code.shape
    start, gap = rows
    x = code.at(start, step, 64 if shape.as_it_is else shape.parts * PAIR)
    panels = code.at(task.weight, panel, shape.steps * shape.parts * PAIR)
    weight = code.at(panels, step, shape.parts * PAIR)
    multiply = "tdpbssd" if shape.int8 else "tdpbf16ps"

    def read_x(register: int, part: int) -> None:
        first = code.at(x, part * PAIR)
        place = first if register == 4 else code.at(first, gap, LANES)
        code.tile("tileloadd64", register, place, gap)

    def read_weight(register: int, part: int) -> None:
        place = code.at(weight, part * PAIR + (register - 6) * TILE)
        code.tile("tileloaddt164", register, place, whole(64))

    for part in range(shape.parts):
        for other in range(shape.parts - part):
            read_x(4, other)
            if other == 0:
                read_weight(6, part)
            code.tile(multiply, 0, 4, 6)
            if other == 0:
                read_weight(7, part)
            code.tile(multiply, 1, 4, 7)
            read_x(5, other)
            code.tile(multiply, 2, 5, 6)
            code.tile(multiply, 3, 5, 7)


def _store_sums(code: _Code, sums: ir.Value) -> None:
    """Registers 0 to 3 as 32 rows of 32 sums."""
    gap = code.shape.line_bytes
    for register in range(4):
        place = code.at(sums, register // 2 * LANES * gap + register % 2 * 64)
        code.tile("tilestored64", register, place, whole(gap))


def _sum(
    code: _Code, pending: _Pending, place: ir.Value, row: ir.Value, scale: ir.Value
) -> ir.Value:
    """Sixteen sums as numbers."""
    b = code.builder
    if not code.shape.int8:
        return code.load(place, VECTOR)
    of_row = code.splat(code.load(code.at(pending.get("row_scales"), row, 4), F32))
    sums = b.sitofp(code.load(place, WORDS), VECTOR)
    return b.fmul(b.fmul(sums, of_row), code.load(scale, VECTOR))


def _finish_plain(code: _Code, pending: _Pending, row: ir.Value) -> None:
    """One row of a panel: bias and activation."""
    b, shape = code.builder, code.shape
    line = code.at(pending.get("sums"), row, shape.line_bytes)
    out = code.at(pending.get("out"), b.mul(row, pending.get("gap")))
    for half in range(2):
        scale, bias = (code.at(pending.get(name), 64 * half) for name in ("scales", "bias"))
        x = _sum(code, pending, code.at(line, 64 * half), row, scale)
        x = activated(code, b.fadd(x, code.load(bias, VECTOR)), shape.ending, rough=shape.half)
        code.write(code.at(out, LANES * shape.number * half), x, half=shape.half)


def _finish_norm(code: _Code, task: _Task, pending: _Pending, row: ir.Value) -> None:
    """One row: bias, residual, and the layer norm."""
    b, shape = code.builder, code.shape
    gap = LANES * shape.number
    line = code.at(pending.get("sums"), row, shape.line_bytes)
    out, residual = (
        code.at(pending.get(name), b.mul(row, pending.get("gap"))) for name in ("out", "residual")
    )

    def added(vector: ir.Value) -> ir.Value:
        x = _sum(code, pending, code.at(line, vector, 64), row, code.at(task.scales, vector, 64))
        x = b.fadd(x, code.load(code.at(task.bias, vector, 64), VECTOR))
        x = b.fadd(x, code.read(code.at(residual, vector, gap), half=shape.half))
        b.store(x, code.at(task.row, vector, 64), align=4)
        return x

    share = ir.Constant(F32, 1 / shape.outputs)
    mean = code.splat(b.fmul(_total(code, added), share))

    def squared(vector: ir.Value) -> ir.Value:
        x = b.fsub(code.load(code.at(task.row, vector, 64), VECTOR), mean)
        return b.fmul(x, x)

    variance = b.fadd(b.fmul(_total(code, squared), share), ir.Constant(F32, shape.epsilon))
    root = code.call("llvm.sqrt.f32", F32, variance)
    factor = code.splat(b.fdiv(ir.Constant(F32, 1.0), root))
    with loop(code, whole(shape.outputs // LANES), 1) as vector:
        x = b.fsub(code.load(code.at(task.row, vector.index, 64), VECTOR), mean)
        gamma, beta = (
            code.load(code.at(place, vector.index, 64), VECTOR) for place in (task.gamma, task.beta)
        )
        x = code.fused(b.fmul(x, factor), gamma, beta)
        code.write(code.at(out, vector.index, gap), x, half=shape.half)


def _total(code: _Code, term: Callable[[ir.Value], ir.Value]) -> ir.Value:
    """The sum of a row, of which ``term`` gives the vectors; some are added side by side."""
    b, vectors = code.builder, code.shape.outputs // LANES
    some = _UNROLLED if vectors % _UNROLLED == 0 else 2
    with loop(code, whole(vectors), some, [filled(VECTOR, 0.0)] * some) as first:
        first.becomes = [
            b.fadd(before, term(b.add(first.index, whole(number))))
            for number, before in enumerate(first.carried)
        ]
    sums = list(first.carried)
    while len(sums) > 1:
        sums = [b.fadd(one, other) for one, other in zip(sums[::2], sums[1::2], strict=True)]
    return code.total(sums[0])
