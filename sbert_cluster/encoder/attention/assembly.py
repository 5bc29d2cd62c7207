"""The kernel of attention in LLVM's language, made for the size of a head and a number format.

A unit of work is one head of one text. Its keys are turned on their side and its values widened to
float32 once. Then four queries at a time meet 32 keys at a time, the softmax follows in base 2, and
the four weighted sums of values stay in registers: no score leaves the first cache. Threads take
units from a counter until none are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import factorial, log

from llvmlite import ir

LANES = 16
"""Numbers that are worked on together."""
QUERIES = 4
"""Queries that are worked on together."""

POINTERS = ("qkv", "mixed", "starts", "lengths", "scratch")
NUMBERS = ("units", "heads", "qkv_row", "mixed_row", "next", "thread", "room")
"""The task, eight bytes a field: pointers, whole numbers, then ``factor``, a float.

qkv, mixed: rows of all heads, ``qkv_row`` and ``mixed_row`` bytes apart. starts, lengths:
int64[texts]. units: texts × heads. next, thread: counters, 0 at first. scratch: ``room`` bytes a
thread, on a cache line. factor: of the scores, log2(e) included.
"""

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_F32, _BYTE, _POINTER = ir.FloatType(), ir.IntType(8), ir.PointerType()
_VECTOR = ir.VectorType(_F32, LANES)
_LINE = 64

# 2^f = Σ (f ln 2)^k / k!; with |f| ≤ 1/2 the terms left out are below 2e-7.
_POWERS = [log(2) ** k / factorial(k) for k in range(7)]


def scratch_bytes(size: int, longest: int) -> int:
    """Scratch that a thread needs: queries, then scores, keys and values of the longest text."""
    padded = -(-longest // LANES) * LANES
    whole = 4 * (QUERIES * size + padded * (QUERIES + 2 * size))
    return -(-whole // _LINE) * _LINE


def kernel(size: int, *, half: bool) -> str:
    """A module with one function, ``attend(task)``.

    Args:
        size: Numbers of a head, a multiple of 8.
        half: Whether numbers in memory are bfloat16 rather than float32.
    """
    module = ir.Module()
    module.triple = ""
    code = _Code(module, ir.IRBuilder(), size, half)
    _attend(code, _head(code))
    return str(module)


@dataclass
class _Code:
    """A builder, and what it needs to know."""

    module: ir.Module
    builder: ir.IRBuilder
    size: int
    half: bool

    @property
    def row(self) -> ir.VectorType:
        """One head of one token."""
        return ir.VectorType(_F32, self.size)

    @property
    def item(self) -> int:
        """Bytes of a number in memory."""
        return 2 if self.half else 4

    def at(self, base: ir.Value, index: ir.Value | int, step: int = 1) -> ir.Value:
        """The address ``index · step`` bytes behind another."""
        place = _whole(index) if isinstance(index, int) else index
        return self.builder.gep(base, [self.builder.mul(place, _whole(step))], source_etype=_BYTE)

    def load(self, place: ir.Value, kind: ir.Type, align: int = 4) -> ir.Value:
        """A value in memory."""
        return self.builder.load(place, typ=kind, align=align)

    def splat(self, value: ir.Value, count: int) -> ir.Value:
        """A vector of one value."""
        none = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
        first = self.builder.insert_element(none, value, ir.Constant(_I32, 0))
        zeros = ir.Constant(ir.VectorType(_I32, count), [0] * count)
        return self.builder.shuffle_vector(first, none, zeros)

    def call(self, name: str, kind: ir.Type, *values: ir.Value, loose: bool = False) -> ir.Value:
        """A function of LLVM's own; loose: sums may be taken in any order."""
        if name not in self.module.globals:
            ir.Function(self.module, ir.FunctionType(kind, [v.type for v in values]), name)
        flags = ("reassoc",) if loose else ()
        return self.builder.call(self.module.globals[name], values, fastmath=flags)

    def fused(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """Products and sums: x · y + z."""
        return self.call(f"llvm.fmuladd.v{z.type.count}f32", z.type, x, y, z)

    def larger(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """The larger of each two."""
        return self.call(f"llvm.maxnum.v{LANES}f32", _VECTOR, x, y)

    def power(self, x: ir.Value) -> ir.Value:
        """2 to the x, for x ≤ 0; what would be smaller than any normal number is the smallest."""
        b = self.builder
        x = self.larger(x, _filled(_VECTOR, -126.0))
        whole = self.call(f"llvm.rint.v{LANES}f32", _VECTOR, x)
        part = b.fsub(x, whole)
        y = _filled(_VECTOR, _POWERS[-1])
        for coefficient in reversed(_POWERS[:-1]):
            y = self.fused(y, part, _filled(_VECTOR, coefficient))
        ints = ir.VectorType(_I32, LANES)
        exponent = b.shl(b.fptosi(whole, ints), _filled(ints, 23))
        return b.bitcast(b.add(b.bitcast(y, ints), exponent), _VECTOR)

    def read(self, place: ir.Value) -> ir.Value:
        """One head of one token, as float32."""
        if not self.half:
            return self.load(place, self.row)
        ints = ir.VectorType(_I32, self.size)
        short = self.load(place, ir.VectorType(_I16, self.size), 2)
        # A bfloat16 is the upper half of the float32 of the same value.
        wide = self.builder.shl(self.builder.zext(short, ints), _filled(ints, 16))
        return self.builder.bitcast(wide, self.row)

    def write(self, place: ir.Value, x: ir.Value) -> None:
        """One head of one token in its format, rounded to the nearest, halves to even."""
        b = self.builder
        if not self.half:
            b.store(x, place, align=4)
            return
        ints = ir.VectorType(_I32, self.size)
        bits = b.bitcast(x, ints)
        odd = b.and_(b.lshr(bits, _filled(ints, 16)), _filled(ints, 1))
        rounded = b.lshr(b.add(bits, b.add(odd, _filled(ints, 0x7FFF))), _filled(ints, 16))
        b.store(b.trunc(rounded, ir.VectorType(_I16, self.size)), place, align=2)


def _whole(value: int) -> ir.Constant:
    return ir.Constant(_I64, value)


def _filled(kind: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count)


@dataclass
class _Loop:
    """The inside of a loop."""

    index: ir.Value
    carried: list[ir.PhiInstr]
    """What goes from one turn to the next; behind the loop, what the last one left."""
    becomes: Sequence[ir.Value] = ()
    """What is carried into the next turn."""


@contextmanager
def _loop(
    code: _Code,
    stop: ir.Value,
    step: int,
    carried: Sequence[ir.Value] = (),
    start: ir.Value | None = None,
) -> Iterator[_Loop]:
    """``for index in range(start, stop, step)``."""
    b = code.builder
    head, body, after = (b.append_basic_block(name) for name in ("head", "body", "after"))
    before = b.block
    b.branch(head)
    b.position_at_end(head)
    index = b.phi(_I64)
    index.add_incoming(_whole(0) if start is None else start, before)
    phis = [b.phi(value.type) for value in carried]
    for phi, value in zip(phis, carried, strict=True):
        phi.add_incoming(value, before)
    b.cbranch(b.icmp_signed("<", index, stop), body, after)
    b.position_at_end(body)
    inside = _Loop(index, phis)
    yield inside
    index.add_incoming(b.add(index, _whole(step)), b.block)
    for phi, value in zip(phis, inside.becomes, strict=True):
        phi.add_incoming(value, b.block)
    b.branch(head)
    b.position_at_end(after)


@dataclass
class _Unit:
    """Where one head of one text lies."""

    query: ir.Value
    key: ir.Value
    value: ir.Value
    out: ir.Value
    length: ir.Value
    row: ir.Value
    out_row: ir.Value
    factor: ir.Value
    queries: ir.Value
    """Scratch: QUERIES heads, scaled."""
    scores: ir.Value
    """Scratch: QUERIES lines of scores."""
    keys: ir.Value
    """Scratch: a line for each number of the head, a column for each key."""
    values: ir.Value
    """Scratch: a head for each token."""
    padded: ir.Value
    """Length of a line: the text's, up to whole vectors."""
    line: ir.Value
    """The same in bytes."""


def _head(code: _Code) -> ir.Function:
    """Attention of one head of one text."""
    kinds = [_POINTER] * 4 + [_I64] * 3 + [_F32, _POINTER]
    kind = ir.FunctionType(ir.VoidType(), kinds)
    function = ir.Function(code.module, kind, "head")
    function.linkage = "internal"
    b = code.builder
    b.position_at_end(function.append_basic_block("entry"))
    query, key, value, out, length, row, out_row, factor, scratch = function.args
    padded = b.and_(b.add(length, _whole(LANES - 1)), _whole(-LANES))
    line = b.mul(padded, _whole(4))
    scores = code.at(scratch, 4 * QUERIES * code.size)
    keys = code.at(scores, line, QUERIES)
    unit = _Unit(
        query, key, value, out, length, row, out_row, factor,
        scratch, scores, keys, code.at(keys, line, code.size), padded, line,
    )  # fmt: skip
    _lay_out(code, unit)
    with _loop(code, length, QUERIES) as four:
        rows = _fetch(code, unit, four.index)
        sums = _weigh(code, unit, _score(code, unit))
        mixed = _mix(code, unit)
        for place, total, x in zip(rows, sums, mixed, strict=True):
            share = code.splat(b.fdiv(ir.Constant(_F32, 1.0), total), code.size)
            code.write(code.at(out, b.mul(place, out_row)), b.fmul(x, share))
    b.ret_void()
    return function


def _lay_out(code: _Code, unit: _Unit) -> None:
    """Turn the keys on their side, and widen the values."""
    b = code.builder
    # Columns behind the end of the text are never used, but are worked on: whatever lay there may
    # be numbers too small to be normal, with which a processor takes a hundred times as long.
    final = b.sub(unit.padded, _whole(LANES))
    for column in range(code.size):
        place = code.at(code.at(unit.keys, unit.line, column), final, 4)
        b.store(_filled(_VECTOR, 0.0), place, align=4)
    with _loop(code, unit.length, 1) as token:
        before = b.mul(token.index, unit.row)
        # The place of the queries is free until they are fetched.
        b.store(code.read(code.at(unit.key, before)), unit.queries, align=_LINE)
        value = code.read(code.at(unit.value, before))
        b.store(value, code.at(unit.values, token.index, 4 * code.size), align=4)
        for column in range(code.size):
            number = code.load(code.at(unit.queries, 4 * column), _F32)
            place = code.at(code.at(unit.keys, unit.line, column), token.index, 4)
            b.store(number, place, align=4)


def _fetch(code: _Code, unit: _Unit, first: ir.Value) -> list[ir.Value]:
    """Put the next queries by, scaled; behind the end of the text, the last one again."""
    b = code.builder
    rows = []
    factor = code.splat(unit.factor, code.size)
    last = b.sub(unit.length, _whole(1))
    for number in range(QUERIES):
        row = b.add(first, _whole(number))
        row = b.select(b.icmp_signed("<", row, last), row, last)
        x = code.read(code.at(unit.query, b.mul(row, unit.row)))
        b.store(b.fmul(x, factor), code.at(unit.queries, 4 * number * code.size), align=4)
        rows.append(row)
    return rows


def _score(code: _Code, unit: _Unit) -> list[ir.Value]:
    """Scores of all keys; returns the highest of each query, sixteen candidates each."""
    b = code.builder
    most: Sequence[ir.Value] = [_filled(_VECTOR, float("-inf"))] * QUERIES
    pairs = b.and_(unit.padded, _whole(-2 * LANES))
    for count, start, stop in ((2, None, pairs), (1, pairs, unit.padded)):
        with _loop(code, stop, count * LANES, most, start) as keys:
            keys.becomes = _score_some(code, unit, keys, count)
        most = keys.carried
    return list(most)


def _score_some(code: _Code, unit: _Unit, keys: _Loop, count: int) -> list[ir.Value]:
    """Scores of ``count`` vectors of keys; returns the highest of each query so far."""
    b = code.builder
    here = code.at(unit.keys, keys.index, 4)
    zeros = [_filled(_VECTOR, 0.0)] * (QUERIES * count)
    with _loop(code, _whole(code.size), 2, zeros) as column:
        sums: list[ir.Value] = list(column.carried)
        for step in range(2):
            place = b.add(column.index, _whole(step))
            line = code.at(here, b.mul(unit.line, place))
            vectors = [code.load(code.at(line, 4 * LANES * n), _VECTOR) for n in range(count)]
            for query in range(QUERIES):
                number = code.load(
                    code.at(unit.queries, b.add(place, _whole(query * code.size)), 4), _F32
                )
                many = code.splat(number, LANES)
                for n, vector in enumerate(vectors):
                    k = query * count + n
                    sums[k] = code.fused(many, vector, sums[k])
        column.becomes = sums
    lanes = ir.Constant(ir.VectorType(_I64, LANES), list(range(LANES)))
    most: list[ir.Value] = list(keys.carried)
    for n in range(count):
        first = b.add(keys.index, _whole(n * LANES))
        numbers = b.add(code.splat(first, LANES), lanes)
        there = b.icmp_signed("<", numbers, code.splat(unit.length, LANES))
        for query in range(QUERIES):
            # Behind the end of the text stands the lowest number, whose power is as good as 0.
            lowest = _filled(_VECTOR, float("-inf"))
            score = b.select(there, column.carried[query * count + n], lowest)
            b.store(score, _scores_of(code, unit, query, first), align=4)
            most[query] = code.larger(most[query], score)
    return most


def _scores_of(code: _Code, unit: _Unit, query: int, first: ir.Value) -> ir.Value:
    return code.at(code.at(unit.scores, unit.line, query), first, 4)


def _weigh(code: _Code, unit: _Unit, most: list[ir.Value]) -> list[ir.Value]:
    """Scores become weights 2^(score - highest); returns the sum of each query's."""
    b = code.builder
    highest = [code.call(f"llvm.vector.reduce.fmax.v{LANES}f32", _F32, m) for m in most]
    tops = [code.splat(value, LANES) for value in highest]
    zeros = [_filled(_VECTOR, 0.0)] * QUERIES
    with _loop(code, unit.padded, LANES, zeros) as keys:
        sums = []
        for query in range(QUERIES):
            place = _scores_of(code, unit, query, keys.index)
            weight = code.power(b.fsub(code.load(place, _VECTOR), tops[query]))
            b.store(weight, place, align=4)
            sums.append(b.fadd(keys.carried[query], weight))
        keys.becomes = sums
    add = f"llvm.vector.reduce.fadd.v{LANES}f32"
    return [code.call(add, _F32, ir.Constant(_F32, 0.0), x, loose=True) for x in keys.carried]


def _mix(code: _Code, unit: _Unit) -> list[ir.Value]:
    """The weighted sum of all values, for each query."""
    zeros = [_filled(code.row, 0.0)] * QUERIES
    with _loop(code, unit.length, 1, zeros) as token:
        value = code.load(code.at(unit.values, token.index, 4 * code.size), code.row)
        sums = []
        for query in range(QUERIES):
            weight = code.load(_scores_of(code, unit, query, token.index), _F32)
            sums.append(code.fused(code.splat(weight, code.size), value, token.carried[query]))
        token.becomes = sums
    return list(token.carried)


def _attend(code: _Code, head: ir.Function) -> None:
    """The function that each thread runs."""
    function = ir.Function(code.module, ir.FunctionType(ir.VoidType(), [_POINTER]), "attend")
    b = code.builder
    b.position_at_end(function.append_basic_block("entry"))
    names = [*POINTERS, *NUMBERS, "factor"]
    place = {name: code.at(function.args[0], 8 * k) for k, name in enumerate(names)}
    task = {name: code.load(place[name], _POINTER, 8) for name in POINTERS}
    task |= {name: code.load(place[name], _I64, 8) for name in NUMBERS}
    factor = code.load(place["factor"], _F32)
    thread = b.atomic_rmw("add", place["thread"], _whole(1), "monotonic")
    scratch = code.at(task["scratch"], b.mul(thread, task["room"]))
    check, work, done = (b.append_basic_block(name) for name in ("check", "work", "done"))
    b.branch(check)
    b.position_at_end(check)
    unit = b.atomic_rmw("add", place["next"], _whole(1), "monotonic")
    b.cbranch(b.icmp_signed("<", unit, task["units"]), work, done)
    b.position_at_end(work)
    text, number = b.udiv(unit, task["heads"]), b.urem(unit, task["heads"])
    start = code.load(code.at(task["starts"], text, 8), _I64, 8)
    length = code.load(code.at(task["lengths"], text, 8), _I64, 8)
    column = b.mul(number, _whole(code.size))
    width = b.mul(task["heads"], _whole(code.size))
    query = code.at(code.at(task["qkv"], b.mul(start, task["qkv_row"])), column, code.item)
    key = code.at(query, width, code.item)
    value = code.at(key, width, code.item)
    out = code.at(code.at(task["mixed"], b.mul(start, task["mixed_row"])), column, code.item)
    rows = [task["qkv_row"], task["mixed_row"]]
    b.call(head, [query, key, value, out, length, *rows, factor, scratch])
    b.branch(check)
    b.position_at_end(done)
    b.ret_void()
