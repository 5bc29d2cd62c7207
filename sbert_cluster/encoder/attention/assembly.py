"""The kernel of attention in LLVM's language, made for the size of a head and a number format.

A unit of work is some heads of one text. The keys of a head are turned on their side once. Then
four queries at a time meet 32 keys at a time, the softmax follows in base 2, and the four weighted
sums of values stay in registers: no score leaves the first cache. Threads take units from a counter
until none are left.

Everything is computed in float32. Keys move in words of 32 bits, which are one float32 or two
bfloat16, and are widened when they are used. (The processors' own products of bfloat16 were slower:
one of them takes as long as four of float32.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from sbert_cluster.encoder.language import (
    F32,
    I32,
    I64,
    LANES,
    NOTHING,
    POINTER,
    VECTOR,
    WORDS,
    Code,
    Loop,
    filled,
    loop,
    whole,
)
from sbert_cluster.encoder.team import lines

QUERIES = 4
"""Queries that are worked on together."""

POINTERS = ("qkv", "mixed", "starts", "lengths", "scratch")
NUMBERS = ("units", "heads", "some", "qkv_row", "mixed_row", "next", "thread", "room")
"""The task, eight bytes a field: pointers, whole numbers, then ``factor``, a float.

qkv, mixed: rows of all heads, ``qkv_row`` and ``mixed_row`` bytes apart. starts, lengths:
int64[texts]. units: texts × heads / some. some: heads of a unit. next, thread: counters, 0 at
first. scratch: ``room`` bytes a thread, on a cache line. factor: of the scores, with log2(e).
"""


def scratch_bytes(size: int, longest: int) -> int:
    """Scratch that a thread needs: queries, then scores, keys and values of the longest text."""
    padded = -(-longest // LANES) * LANES
    needed = 4 * (QUERIES * size + padded * (QUERIES + 2 * size))
    return lines(needed)


def kernel(size: int, *, half: bool) -> str:
    """A module with one function, ``attend(task)``.

    Args:
        size: Numbers of a head, a multiple of 32.
        half: Whether numbers are bfloat16 rather than float32.
    """
    module = ir.Module()
    module.triple = ""
    code = _Code(module, ir.IRBuilder(), size, half)
    _attend(code, _head(code))
    return str(module)


@dataclass
class _Code(Code):
    """A builder that knows the size of a head and its number format."""

    size: int
    half: bool

    @property
    def numbers(self) -> int:
        """Numbers in a word."""
        return 2 if self.half else 1

    @property
    def words(self) -> int:
        """Words of a head."""
        return self.size // self.numbers

    @property
    def row(self) -> ir.VectorType:
        """One head of one token."""
        return ir.VectorType(I32, self.words)

    @property
    def row_bytes(self) -> int:
        """Bytes of it."""
        return 4 * self.words

    def halves(self, words: ir.Value) -> list[ir.Value]:
        """The numbers of words as float32: all first ones, all second ones."""
        b, kind = self.builder, ir.VectorType(F32, words.type.count)
        if not self.half:
            return [b.bitcast(words, kind)]
        # A bfloat16 is the upper half of the float32 of the same value.
        first = b.shl(words, filled(words.type, 16))
        second = b.and_(words, filled(words.type, 0xFFFF0000))
        return [b.bitcast(first, kind), b.bitcast(second, kind)]


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
    """Scratch: QUERIES heads; of two numbers in a word, all first ones come first."""
    scores: ir.Value
    """Scratch: QUERIES lines of scores, then of weights."""
    keys: ir.Value
    """Scratch: a line for each word of the head, a column for each key."""
    values: ir.Value
    """Scratch: a line for each token."""
    padded: ir.Value
    """Length of a line: the text's, up to whole vectors."""
    line: ir.Value
    """The same in bytes."""


def _head(code: _Code) -> ir.Function:
    """Attention of one head of one text."""
    kinds = [POINTER] * 4 + [I64] * 3 + [F32, POINTER]
    kind = ir.FunctionType(NOTHING, kinds)
    function = ir.Function(code.module, kind, "head")
    function.linkage = "internal"
    b = code.builder
    b.position_at_end(function.append_basic_block("entry"))
    query, key, value, out, length, row, out_row, factor, scratch = function.args
    padded = b.and_(b.add(length, whole(LANES - 1)), whole(-LANES))
    line = b.mul(padded, whole(4))
    scores = code.at(scratch, QUERIES * code.size, 4)
    keys = code.at(scores, line, QUERIES)
    values = code.at(keys, line, code.words)
    unit = _Unit(
        query, key, value, out, length, row, out_row, factor,
        scratch, scores, keys, values, padded, line,
    )  # fmt: skip
    _turn_keys(code, unit)
    _widen_values(code, unit)
    with loop(code, length, QUERIES) as four:
        rows = _fetch(code, unit, four.index)
        sums = _weigh(code, unit, _score(code, unit))
        for place, total, pieces in zip(rows, sums, _mix(code, unit), strict=True):
            share = code.splat(b.fdiv(ir.Constant(F32, 1.0), total))
            for number, piece in enumerate(pieces):
                to = code.at(out, b.mul(place, out_row))
                step = number * LANES * 4 // code.numbers
                code.write(code.at(to, step), b.fmul(piece, share), half=code.half)
    b.ret_void()
    return function


def _row(code: _Code, unit: _Unit, first: ir.Value, number: int) -> ir.Value:
    """The row ``first + number``; behind the end of the text, its last one again."""
    b = code.builder
    row, last = b.add(first, whole(number)), b.sub(unit.length, whole(1))
    return b.select(b.icmp_signed("<", row, last), row, last)


def _turn_keys(code: _Code, unit: _Unit) -> None:
    """Turn the keys on their side, sixteen at a time."""
    b = code.builder
    with loop(code, unit.padded, LANES) as token:
        places = []
        for number in range(LANES):
            # Columns behind the end of the text are never used, but are worked on.
            row = _row(code, unit, token.index, number)
            places.append(code.at(unit.key, b.mul(row, unit.row)))
            code.fetch_early(code.at(places[-1], code.row_bytes))
        for word in range(0, code.words, LANES):
            rows = [code.load(code.at(place, 4 * word), WORDS) for place in places]
            for number, column in enumerate(code.turned(rows)):
                line = code.at(unit.keys, unit.line, word + number)
                b.store(column, code.at(line, token.index, 4), align=4)


def _widen_values(code: _Code, unit: _Unit) -> None:
    """Put the values by, as float32."""
    b = code.builder
    with loop(code, unit.length, 1) as token:
        place = code.at(unit.value, b.mul(token.index, unit.row))
        code.fetch_early(code.at(place, code.row_bytes))
        for step in range(0, code.size, LANES):
            numbers = code.read(code.at(place, step * 4 // code.numbers), half=code.half)
            to = code.at(code.at(unit.values, token.index, 4 * code.size), 4 * step)
            b.store(numbers, to, align=4)


def _fetch(code: _Code, unit: _Unit, first: ir.Value) -> list[ir.Value]:
    """Put the next queries by; behind the end of the text, the last one again."""
    b = code.builder
    rows = []
    for number in range(QUERIES):
        row = _row(code, unit, first, number)
        place = code.at(unit.query, b.mul(row, unit.row))
        code.fetch_early(code.at(place, code.row_bytes))
        for half, numbers in enumerate(code.halves(code.load(place, code.row))):
            b.store(
                numbers, code.at(unit.queries, number * code.size + half * code.words, 4), align=4
            )
        rows.append(row)
    return rows


def _score(code: _Code, unit: _Unit) -> list[ir.Value]:
    """Scores of all keys; returns the highest of each query, sixteen candidates each."""
    b = code.builder
    most: Sequence[ir.Value] = [filled(VECTOR, float("-inf"))] * QUERIES
    pairs = b.and_(unit.padded, whole(-2 * LANES))
    for count, start, stop in ((2, None, pairs), (1, pairs, unit.padded)):
        with loop(code, stop, count * LANES, most, start) as keys:
            keys.becomes = _score_some(code, unit, keys, count)
        most = keys.carried
    return list(most)


def _score_some(code: _Code, unit: _Unit, keys: Loop, count: int) -> list[ir.Value]:
    """Scores of ``count`` vectors of keys; returns the highest of each query so far."""
    b = code.builder
    here = code.at(unit.keys, keys.index, 4)
    zeros = [filled(VECTOR, 0.0)] * (QUERIES * count)
    with loop(code, whole(code.words), 2, zeros) as column:
        sums: list[ir.Value] = list(column.carried)
        for step in range(2):
            place = b.add(column.index, whole(step))
            line = code.at(here, b.mul(unit.line, place))
            words = [code.load(code.at(line, 4 * LANES * n), WORDS) for n in range(count)]
            vectors = [code.halves(word) for word in words]
            for half in range(code.numbers):
                for query in range(QUERIES):
                    number = b.add(place, whole(query * code.size + half * code.words))
                    many = code.splat(code.load(code.at(unit.queries, number, 4), F32))
                    for n, vector in enumerate(vectors):
                        k = query * count + n
                        sums[k] = code.fused(many, vector[half], sums[k])
        column.becomes = sums
    factor = code.splat(unit.factor)
    lanes = ir.Constant(ir.VectorType(I64, LANES), list(range(LANES)))
    # Behind the end of the text stands the lowest number, whose power is as good as 0.
    lowest = filled(VECTOR, float("-inf"))
    most: list[ir.Value] = list(keys.carried)
    for n in range(count):
        first = b.add(keys.index, whole(n * LANES))
        there = b.icmp_signed("<", b.add(code.splat(first), lanes), code.splat(unit.length))
        for query in range(QUERIES):
            scaled = b.fmul(column.carried[query * count + n], factor)
            score = b.select(there, scaled, lowest)
            b.store(score, code.at(_scores_of(code, unit, query), first, 4), align=4)
            most[query] = code.larger(most[query], score)
    return most


def _scores_of(code: _Code, unit: _Unit, query: int) -> ir.Value:
    return code.at(unit.scores, unit.line, query)


def _weigh(code: _Code, unit: _Unit, most: list[ir.Value]) -> list[ir.Value]:
    """Scores become weights 2^(score - highest); returns the sum of each query's."""
    b = code.builder
    tops = [code.splat(code.largest(value)) for value in most]
    zeros = [filled(VECTOR, 0.0)] * QUERIES
    with loop(code, unit.padded, LANES, zeros) as keys:
        sums = []
        for query in range(QUERIES):
            line = _scores_of(code, unit, query)
            score = code.load(code.at(line, keys.index, 4), VECTOR)
            weight = code.power(b.fsub(score, tops[query]))
            b.store(weight, code.at(line, keys.index, 4), align=4)
            sums.append(b.fadd(keys.carried[query], weight))
        keys.becomes = sums
    return [code.total(x) for x in keys.carried]


def _mix(code: _Code, unit: _Unit) -> list[list[ir.Value]]:
    """The weighted sum of all values for each query, in vectors."""
    pieces = code.size // LANES
    zeros = [filled(VECTOR, 0.0)] * (QUERIES * pieces)
    with loop(code, unit.length, 1, zeros) as token:
        line = code.at(unit.values, token.index, 4 * code.size)
        values = [code.load(code.at(line, 4 * LANES * n), VECTOR) for n in range(pieces)]
        sums: list[ir.Value] = []
        for query in range(QUERIES):
            place = code.at(_scores_of(code, unit, query), token.index, 4)
            many = code.splat(code.load(place, F32))
            before = token.carried[query * pieces : (query + 1) * pieces]
            sums += [code.fused(many, v, x) for v, x in zip(values, before, strict=True)]
        token.becomes = sums
    return [list(token.carried[q * pieces : (q + 1) * pieces]) for q in range(QUERIES)]


def _attend(code: _Code, head: ir.Function) -> None:
    """The function that each thread runs."""
    function = ir.Function(code.module, ir.FunctionType(NOTHING, [POINTER]), "attend")
    b = code.builder
    b.position_at_end(function.append_basic_block("entry"))
    names = [*POINTERS, *NUMBERS, "factor"]
    place = {name: code.at(function.args[0], 8 * k) for k, name in enumerate(names)}
    task = {name: code.load(place[name], POINTER, 8) for name in POINTERS}
    task |= {name: code.load(place[name], I64, 8) for name in NUMBERS}
    factor = code.load(place["factor"], F32)
    thread = b.atomic_rmw("add", place["thread"], whole(1), "monotonic")
    scratch = code.at(task["scratch"], b.mul(thread, task["room"]))
    check, work, done = (b.append_basic_block(name) for name in ("check", "work", "done"))
    b.branch(check)
    b.position_at_end(check)
    unit = b.atomic_rmw("add", place["next"], whole(1), "monotonic")
    b.cbranch(b.icmp_signed("<", unit, task["units"]), work, done)
    b.position_at_end(work)
    some = task["some"]
    parts = b.udiv(task["heads"], some)
    text = b.udiv(unit, parts)
    first = b.mul(b.urem(unit, parts), some)
    start = code.load(code.at(task["starts"], text, 8), I64, 8)
    length = code.load(code.at(task["lengths"], text, 8), I64, 8)
    width = b.mul(task["heads"], whole(code.size))
    rows = [task["qkv_row"], task["mixed_row"]]
    with loop(code, some, 1) as number:
        column = b.mul(b.add(first, number.index), whole(code.size))
        query = code.at(
            code.at(task["qkv"], b.mul(start, task["qkv_row"])), column, 4 // code.numbers
        )
        key = code.at(query, width, 4 // code.numbers)
        value = code.at(key, width, 4 // code.numbers)
        out = code.at(
            code.at(task["mixed"], b.mul(start, task["mixed_row"])), column, 4 // code.numbers
        )
        b.call(head, [query, key, value, out, length, *rows, factor, scratch])
    b.branch(check)
    b.position_at_end(done)
    b.ret_void()
