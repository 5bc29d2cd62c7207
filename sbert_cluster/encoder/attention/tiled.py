"""The kernel of attention by the tile unit of Intel's processors (AMX), for heads of bfloat16.

32 queries at a time. Their scores are products of tiles: queries as they lie, and keys that
were turned on their side, as the unit wants its second factor. The softmax is of float32; its
weights, not yet divided by their sum, go as bfloat16 into products with values, whose neighbours
lie in pairs. Every line behind the end of a text weighs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from sbert_cluster.encoder.attention.heads import Head, HeadCode, clamped, module, turn_keys
from sbert_cluster.encoder.language import (
    F32,
    I16,
    I32,
    LANES,
    VECTOR,
    WORDS,
    filled,
    loop,
    whole,
)
from sbert_cluster.encoder.team import lines

LARGEST_HEAD = 64
"""Numbers of a head up to which this is faster than torch's operator."""
_QUERIES = 32
_STEP = 32
"""Keys of a step of the second product."""
_TOGETHER = 4
"""Queries whose softmax is worked on together."""
_TILE = 1_024
_KEPT = 64


def scratch_bytes(size: int, longest: int) -> int:
    """Scratch that a thread needs for texts of up to so many tokens."""
    padded = -(-longest // _STEP) * _STEP
    numbers = 3 * padded * size * 2
    block = _QUERIES * (padded * (4 + 2) + size * 4 + 4)
    return lines(_KEPT + numbers + block)


def kernel(size: int, *, half: bool = True) -> str:
    """A module with one function, ``attend(task)``; see :func:`heads.module`."""
    return module(size, half=half, write=_head, room=_KEPT)


@dataclass
class _Unit(Head):
    """And where its parts lie in the scratch."""

    keys: ir.Value
    """A line for each word of the head, a column for each key."""
    values: ir.Value
    """Tiles: 16 pairs of tokens by 16 numbers, all of a step one after the other."""
    queries: ir.Value
    """A line for each token."""
    scores: ir.Value
    """A line of float32 for each query of the block."""
    weights: ir.Value
    """The same in bfloat16."""
    mixed: ir.Value
    """A line of float32 for each query of the block: the weighted sum."""
    sums: ir.Value
    """The sum of the weights of each query of the block."""
    padded: ir.Value
    """Length of a line, up to whole steps."""


def _head(code: HeadCode, head: Head) -> None:
    """Attention of one head of one text."""
    b = code.builder
    padded = b.and_(b.add(head.length, whole(_STEP - 1)), whole(-_STEP))
    keys = head.scratch
    values = code.at(keys, padded, 2 * code.size)
    queries = code.at(values, padded, 2 * code.size)
    scores = code.at(queries, padded, 2 * code.size)
    weights = code.at(scores, padded, 4 * _QUERIES)
    mixed = code.at(weights, padded, 2 * _QUERIES)
    sums = code.at(mixed, _QUERIES * code.size, 4)
    unit = _Unit(**vars(head), keys=keys, values=values, queries=queries, scores=scores,
                 weights=weights, mixed=mixed, sums=sums, padded=padded)  # fmt: skip
    turn_keys(code, head, keys, padded)
    _pair_values(code, unit)
    _copy_queries(code, unit)
    with loop(code, head.length, _QUERIES) as block:
        _score(code, unit, block.index)
        left = b.sub(head.length, block.index)
        some = b.select(b.icmp_signed("<", left, whole(_QUERIES)), left, whole(_QUERIES))
        with loop(code, some, _TOGETHER) as four:
            _weigh(code, unit, four.index)
        _mix(code, unit)
        with loop(code, some, 1) as query:
            _write(code, unit, block.index, query.index)


def _pair_values(code: HeadCode, unit: _Unit) -> None:
    """Values of two neighbouring tokens, number by number, as tiles."""
    b = code.builder
    shorts = ir.VectorType(I16, LANES)
    turns = [k // 2 + LANES * (k % 2) for k in range(2 * LANES)]
    mask = ir.Constant(ir.VectorType(I32, 2 * LANES), turns)
    tiles = code.size // LANES
    with loop(code, unit.padded, 2) as token:
        rows = [
            code.at(unit.value, b.mul(clamped(code, unit, token.index, number), unit.row))
            for number in range(2)
        ]
        for row in rows:
            code.fetch_early(code.at(row, code.row_bytes))
        step = code.at(unit.values, b.lshr(token.index, whole(5)), tiles * _TILE)
        line = code.at(step, b.lshr(b.and_(token.index, whole(_STEP - 1)), whole(1)), 64)
        for number in range(tiles):
            one, other = (code.load(code.at(row, 2 * LANES * number), shorts, 2) for row in rows)
            b.store(b.shuffle_vector(one, other, mask), code.at(line, number * _TILE), align=64)


def _copy_queries(code: HeadCode, unit: _Unit) -> None:
    """Queries close together; what lies behind the last one is worked on, and never used."""
    with loop(code, unit.length, 1) as token:
        place = code.at(unit.query, code.builder.mul(token.index, unit.row))
        code.fetch_early(code.at(place, code.row_bytes))
        to = code.at(unit.queries, token.index, 2 * code.size)
        code.builder.store(code.load(place, code.row), to, align=4)


def _score(code: HeadCode, unit: _Unit, first: ir.Value) -> None:
    """Scores of the block's queries with all keys."""
    b = code.builder
    line, row = b.mul(unit.padded, whole(4)), 2 * code.size
    queries = code.at(unit.queries, first, row)
    with loop(code, unit.padded, _STEP) as keys:
        code.clear_sums()
        for part in range(code.size // _STEP):
            words = code.at(code.at(unit.keys, line, LANES * part), keys.index, 4)
            upper = code.at(queries, 64 * part)
            _multiply(code, (upper, code.at(upper, LANES * row), whole(row)),
                      (words, code.at(words, 64), line))  # fmt: skip
        _store(code, code.at(unit.scores, keys.index, 4), line)


def _multiply(
    code: HeadCode,
    left: tuple[ir.Value, ir.Value, ir.Value],
    right: tuple[ir.Value, ir.Value, ir.Value],
) -> None:
    """Add products of two tiles by two, each two with the bytes between their lines."""
    for register, (one, other, gap) in ((4, left), (6, right)):
        code.tile("tileloadd64", register, one, gap)
        code.tile("tileloadd64", register + 1, other, gap)
    for register in range(4):
        code.tile("tdpbf16ps", register, 4 + register // 2, 6 + register % 2)


def _store(code: HeadCode, place: ir.Value, gap: ir.Value) -> None:
    """The sums, as 32 lines of 32."""
    lower = code.at(place, gap, LANES)
    for register, start in enumerate((place, place, lower, lower)):
        code.tile("tilestored64", register, code.at(start, register % 2 * 64), gap)


def _weigh(code: HeadCode, unit: _Unit, first: ir.Value) -> None:
    """Scores of four queries become weights 2^(score - highest), and their sums."""
    b = code.builder
    number = [b.add(first, whole(query)) for query in range(_TOGETHER)]
    scores = [code.at(unit.scores, b.mul(n, unit.padded), 4) for n in number]
    weights = [code.at(unit.weights, b.mul(n, unit.padded), 2) for n in number]
    lowest = [filled(VECTOR, float("-inf"))] * _TOGETHER
    with loop(code, unit.padded, LANES, lowest) as keys:
        there = _there(code, unit, keys.index)
        keys.becomes = [
            code.larger(most, b.select(there, _at_key(code, line, keys.index), lowest[0]))
            for most, line in zip(keys.carried, scores, strict=True)
        ]
    factor = code.splat(unit.factor)
    tops = [code.splat(b.fmul(code.largest(most), unit.factor)) for most in keys.carried]
    zeros = [filled(VECTOR, 0.0)] * _TOGETHER
    with loop(code, unit.padded, LANES, zeros) as keys:
        there = _there(code, unit, keys.index)
        sums: list[ir.Value] = []
        for query in range(_TOGETHER):
            x = code.fused(_at_key(code, scores[query], keys.index), factor, b.fneg(tops[query]))
            weight = b.select(there, code.rough_power(x), zeros[0])
            code.write(code.at(weights[query], keys.index, 2), weight, half=True)
            sums.append(b.fadd(keys.carried[query], weight))
        keys.becomes = sums
    for n, sixteen in zip(number, keys.carried, strict=True):
        b.store(code.total(sixteen), code.at(unit.sums, n, 4), align=4)


def _at_key(code: HeadCode, line: ir.Value, key: ir.Value) -> ir.Value:
    return code.load(code.at(line, key, 4), VECTOR)


def _there(code: HeadCode, unit: _Unit, first: ir.Value) -> ir.Value:
    """Which of sixteen keys are of the text."""
    b, lanes = code.builder, ir.Constant(WORDS, list(range(LANES)))
    left = code.splat(b.trunc(b.sub(unit.length, first), I32))
    return b.icmp_signed("<", lanes, left)


def _mix(code: HeadCode, unit: _Unit) -> None:
    """The weighted sums of values, of the block's queries."""
    b = code.builder
    tiles = code.size // LANES
    line = b.mul(unit.padded, whole(2))
    for number in range(0, tiles, 2):
        code.clear_sums()
        with loop(code, unit.padded, _STEP) as keys:
            weights = code.at(unit.weights, keys.index, 2)
            step = code.at(unit.values, b.lshr(keys.index, whole(5)), tiles * _TILE)
            values = code.at(step, number * _TILE)
            _multiply(code, (weights, code.at(weights, line, LANES), line),
                      (values, code.at(values, _TILE), whole(64)))  # fmt: skip
        _store(code, code.at(unit.mixed, 64 * number), whole(4 * code.size))


def _write(code: HeadCode, unit: _Unit, first: ir.Value, query: ir.Value) -> None:
    """Divide the sums of one query, and put them where they belong."""
    b = code.builder
    total = code.load(code.at(unit.sums, query, 4), F32)
    share = code.splat(b.fdiv(ir.Constant(F32, 1.0), total))
    to = code.at(unit.out, b.mul(b.add(first, query), unit.out_row))
    line = code.at(unit.mixed, query, 4 * code.size)
    for number in range(code.size // LANES):
        x = b.fmul(code.load(code.at(line, 64 * number), VECTOR), share)
        code.write(code.at(to, 2 * LANES * number), x, half=True)
