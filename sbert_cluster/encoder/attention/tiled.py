"""The kernel of attention by the tile unit of Intel's processors (AMX), for heads of bfloat16.

32 queries at a time meet 32 keys at a time. Their scores are products of tiles: queries as they
lie, and keys that were turned on their side, as the unit wants its second factor. The softmax is of
float32; its weights, not yet divided by their sum, go as bfloat16 into products with values, whose
neighbours lie in pairs, and with ones, which gives the sums. While the tile unit works on some
scores, those before become weights. Every line behind the end of a text weighs nothing.

A softmax does not change when the same number is taken from all scores, and usually the highest is,
so that no power leaves the range of float32. Here nothing is, at first: only where a sum shows that
powers came near the end of the range are the highest scores found, and the block is done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llvmlite import ir

from sbert_cluster.encoder.attention.heads import Head, HeadCode, module
from sbert_cluster.encoder.language import (
    F32,
    I16,
    I32,
    I64,
    LANES,
    NOTHING,
    POINTER,
    VECTOR,
    WORDS,
    filled,
    loop,
    whole,
)
from sbert_cluster.encoder.team import lines

LARGEST_HEAD = 64
"""Numbers of a head up to which this is faster than torch's operator."""
_BLOCK = 32
"""Queries, and keys, that are worked on together."""
_UNROLLED = 4
"""Queries whose softmax is worked on together."""
_TILE = 1_024
_KEPT = 64
_SUMS_FROM, _SUMS_TO = 2.0**-60, 2.0**60
"""Sums outside of this are computed again, from scores less the highest."""
_ONE_PAIR = 0x3F803F80
"""Two bfloat16."""


def scratch_bytes(size: int, longest: int) -> int:
    """Scratch that a thread needs for texts of up to so many tokens."""
    padded = -(-longest // _BLOCK) * _BLOCK
    fixed = 4 * _BLOCK * max(size, _BLOCK) + _TILE + _BLOCK * (64 + 4)
    return lines(_KEPT + fixed + padded * (3 * 2 * size + 2 * _BLOCK))


def kernel(size: int, *, half: bool = True) -> str:
    """A module with one function, ``attend(task)``; see :func:`heads.module`."""
    return module(size, half=half, write=_head, room=_KEPT)


@dataclass
class _Unit(Head):
    """And where its parts lie in the scratch."""

    block: ir.Value
    """Lines of float32, one for each query of a block: scores, or else weighted sums."""
    ones: ir.Value
    """A tile."""
    sums: ir.Value
    """A line for each query of a block: the sum of its weights, sixteen times."""
    tops: ir.Value
    """What is added to the scores of each query of a block, float32."""
    queries: ir.Value
    """A line for each token."""
    keys: ir.Value
    """Tiles: 16 pairs of numbers by 16 tokens, all of these tokens one after the other."""
    values: ir.Value
    """Tiles: 16 pairs of tokens by 16 numbers, all of these tokens one after the other."""
    weights: ir.Value
    """32 lines of 32 bfloat16, queries by keys, for each block of keys."""
    padded: ir.Value
    """Length of the text, up to whole blocks."""
    weigh: ir.Function


def _head(code: HeadCode, head: Head) -> None:
    """Attention of one head of one text."""
    b = code.builder
    unit = _divided(code, head)
    for line in range(0, _TILE, 64):
        b.store(filled(WORDS, _ONE_PAIR), code.at(unit.ones, line), align=64)
    _clear_tops(code, unit)
    _turn_keys(code, unit)
    _pair_values(code, unit)
    _copy_queries(code, unit)
    with loop(code, head.length, _BLOCK) as block:
        rows = _at_most_a_block(code, b.sub(head.length, block.index))
        _weigh(code, unit, block.index, rows)
        _mix(code, unit)
        fine = _write(code, unit, block.index, rows)
        with b.if_then(b.not_(fine), likely=False):
            # Once more, with the highest score of each query taken from all of its scores.
            _find_tops(code, unit, block.index, rows)
            _weigh(code, unit, block.index, rows)
            _mix(code, unit)
            _write(code, unit, block.index, rows)
            _clear_tops(code, unit)


def _divided(code: HeadCode, head: Head) -> _Unit:
    """Divide the scratch."""
    b = code.builder
    padded = b.and_(b.add(head.length, whole(_BLOCK - 1)), whole(-_BLOCK))
    ones = code.at(head.scratch, 4 * _BLOCK * max(code.size, _BLOCK))
    sums = code.at(ones, _TILE)
    tops = code.at(sums, 64 * _BLOCK)
    queries = code.at(tops, 4 * _BLOCK)
    keys, values, weights = (code.at(queries, padded, 2 * code.size * k) for k in (1, 2, 3))
    return _Unit(**vars(head), block=head.scratch, ones=ones, sums=sums, tops=tops,
                 queries=queries, keys=keys, values=values, weights=weights, padded=padded,
                 weigh=_weigher(code))  # fmt: skip


def _at_most_a_block(code: HeadCode, left: ir.Value) -> ir.Value:
    b = code.builder
    return b.select(b.icmp_signed("<", left, whole(_BLOCK)), left, whole(_BLOCK))


def _clear_tops(code: HeadCode, unit: _Unit) -> None:
    for half in range(2):
        code.builder.store(filled(VECTOR, 0.0), code.at(unit.tops, 64 * half), align=64)


def _row(code: HeadCode, unit: _Unit, base: ir.Value, first: ir.Value, number: int) -> ir.Value:
    """The row ``first + number``; behind the end of the text, its last one again."""
    b = code.builder
    place = b.add(b.mul(first, unit.row), b.mul(whole(number), unit.row))
    last = b.mul(b.sub(unit.length, whole(1)), unit.row)
    return code.at(base, b.select(b.icmp_signed("<", place, last), place, last))


def _fetch_next(code: HeadCode, place: ir.Value) -> None:
    """The same row of the next head will be needed soon."""
    code.fetch_early(code.at(place, code.row_bytes))


def _turn_keys(code: HeadCode, unit: _Unit) -> None:
    """Turn the keys on their side, sixteen at a time."""
    b = code.builder
    with loop(code, unit.length, LANES) as token:
        places = [_row(code, unit, unit.key, token.index, number) for number in range(LANES)]
        for place in places:
            _fetch_next(code, place)
        to = code.at(unit.keys, token.index, 2 * code.size)
        for word in range(0, code.words, LANES):
            rows = [code.load(code.at(place, 4 * word), WORDS) for place in places]
            for number, column in enumerate(code.turned(rows)):
                b.store(column, code.at(to, (word + number) * 64), align=64)


def _pair_values(code: HeadCode, unit: _Unit) -> None:
    """Values of two neighbouring tokens, number by number, as tiles; zeros behind the end."""
    b = code.builder
    shorts = ir.VectorType(I16, 2 * LANES)

    def store(token: ir.Value, pairs: list[ir.Value]) -> None:
        step = code.at(unit.values, b.and_(token, whole(-_BLOCK)), 2 * code.size)
        line = code.at(step, b.and_(token, whole(_BLOCK - 1)), 32)
        for number, pair in enumerate(pairs):
            b.store(pair, code.at(line, number * _TILE), align=64)

    tiles = code.size // LANES
    with loop(code, unit.length, 2) as token:
        rows = [_row(code, unit, unit.value, token.index, number) for number in range(2)]
        pairs = []
        for row in rows:
            _fetch_next(code, row)
        for number in range(0, tiles, 2):
            both = [code.load(code.at(row, 2 * LANES * number), shorts, 2) for row in rows]
            for half in range(2):
                turns = [LANES * half + k // 2 + 2 * LANES * (k % 2) for k in range(2 * LANES)]
                mask = ir.Constant(ir.VectorType(I32, 2 * LANES), turns)
                pairs.append(b.shuffle_vector(*both, mask))
        store(token.index, pairs)
    end = b.and_(b.add(unit.length, whole(1)), whole(-2))
    with loop(code, unit.padded, 2, start=end) as token:
        store(token.index, [filled(WORDS, 0)] * tiles)


def _copy_queries(code: HeadCode, unit: _Unit) -> None:
    """Queries close together; what lies behind the last one is worked on, and never used."""
    with loop(code, unit.length, 1) as token:
        place = code.at(unit.query, code.builder.mul(token.index, unit.row))
        _fetch_next(code, place)
        to = code.at(unit.queries, token.index, 2 * code.size)
        code.builder.store(code.load(place, code.row), to, align=64)


def _weigh(code: HeadCode, unit: _Unit, block: ir.Value, rows: ir.Value) -> None:
    """Weights of the block's queries for all keys."""
    b = code.builder

    def weigh(waiting: Sequence[ir.Value]) -> None:
        weights, left, some = waiting
        b.call(unit.weigh, [unit.block, weights, unit.tops, left, some, unit.factor])

    # At first no scores wait to be weighed.
    with loop(code, unit.padded, _BLOCK, [unit.weights, whole(1), whole(0)]) as keys:
        _multiply(code, unit, block, keys.index)
        weigh(keys.carried)
        _store(code, unit.block, 4 * _BLOCK)
        weights = code.at(unit.weights, keys.index, 2 * _BLOCK)
        keys.becomes = [weights, b.sub(unit.length, keys.index), rows]
    weigh(keys.carried)


def _multiply(code: HeadCode, unit: _Unit, block: ir.Value, first: ir.Value) -> None:
    """Scores of the block's queries with 32 keys, in registers 0 to 3."""
    row = 2 * code.size
    queries, keys = code.at(unit.queries, block, row), code.at(unit.keys, first, row)
    code.clear_sums()
    for part in range(code.size // _BLOCK):
        for half in range(2):
            upper = code.at(queries, half * LANES * row + 64 * part)
            code.tile("tileloadd64", 4 + half, upper, whole(row))
            tile = code.at(keys, half * LANES * row + part * _TILE)
            code.tile("tileloadd64", 6 + half, tile, whole(64))
        for register in range(4):
            code.tile("tdpbf16ps", register, 4 + register // 2, 6 + register % 2)


def _store(code: HeadCode, place: ir.Value, gap: int) -> None:
    """Registers 0 to 3, as 32 lines of 32."""
    for register in range(4):
        start = code.at(place, register // 2 * LANES * gap + register % 2 * 64)
        code.tile("tilestored64", register, start, whole(gap))


def _weigher(code: HeadCode) -> ir.Function:
    """A function that turns scores of 32 keys into weights: 2^(score · factor + top).

    It takes scores, weights, tops, how many keys are left, the number of queries, and the factor.
    """
    kind = ir.FunctionType(NOTHING, [POINTER] * 3 + [I64] * 2 + [F32])
    function = ir.Function(code.module, kind, "weigh")
    function.linkage = "internal"
    scores, weights, tops, left, rows, factor = function.args
    inside = replace(code, builder=ir.IRBuilder(function.append_basic_block("entry")))
    b, factor = inside.builder, inside.splat(factor)
    used = b.select(b.icmp_signed("<", left, whole(LANES + 1)), whole(LANES), whole(_BLOCK))
    with loop(inside, used, LANES) as keys:
        remaining = inside.splat(b.trunc(b.sub(left, keys.index), I32))
        there = b.icmp_signed("<", ir.Constant(WORDS, list(range(LANES))), remaining)
        with loop(inside, rows, _UNROLLED) as some:
            for number in range(_UNROLLED):
                query = b.add(some.index, whole(number))
                line = inside.at(scores, query, 4 * _BLOCK)
                score = inside.load(inside.at(line, keys.index, 4), VECTOR, 64)
                top = inside.splat(inside.load(inside.at(tops, query, 4), F32))
                power = inside.rough_power(inside.fused(score, factor, top))
                to = inside.at(inside.at(weights, query, 2 * _BLOCK), keys.index, 2)
                inside.write(to, b.select(there, power, filled(VECTOR, 0.0)), half=True)
    with loop(inside, whole(_BLOCK), LANES, start=used) as keys, loop(inside, rows, 1) as query:
        to = inside.at(inside.at(weights, query.index, 2 * _BLOCK), keys.index, 2)
        inside.write(to, filled(VECTOR, 0.0), half=True)
    b.ret_void()
    return function


def _mix(code: HeadCode, unit: _Unit) -> None:
    """The weighted sums of values, and the sums of weights, of the block's queries."""
    tiles = code.size // LANES
    for number in range(0, tiles, 2):
        sums = number == 0
        for register in range(6 if sums else 4):
            code.tile("tilezero", register)
        with loop(code, unit.padded, _BLOCK) as keys:
            weights = code.at(unit.weights, keys.index, 2 * _BLOCK)
            values = code.at(code.at(unit.values, keys.index, 2 * code.size), number * _TILE)
            _add(code, weights, values, unit.ones if sums else None)
        _store(code, code.at(unit.block, 64 * number), 4 * code.size)
        if sums:
            for half in range(2):
                code.tile("tilestored64", 4 + half, code.at(unit.sums, half * _TILE), whole(64))


def _add(code: HeadCode, weights: ir.Value, values: ir.Value, ones: ir.Value | None) -> None:
    """Add products of two tiles by two to registers 0 to 3, of the first two by ones to 4 and 5."""
    factors = {0: values, 1: code.at(values, _TILE), **({} if ones is None else {4: ones})}
    order = list(factors)
    for half in range(2):
        code.tile("tileloadd64", 6, code.at(weights, half * _TILE), whole(64))
        for place, register in enumerate(order):
            # The last factor of the upper half is the first of the lower one.
            if not half or place:
                code.tile("tileloadd64", 7, factors[register], whole(64))
            code.tile("tdpbf16ps", register + (half if register == 4 else 2 * half), 6, 7)
        order.reverse()


def _write(code: HeadCode, unit: _Unit, block: ir.Value, rows: ir.Value) -> ir.Value:
    """Divide by the sums, and put the block where it belongs; returns whether all went well."""
    b = code.builder
    one = filled(VECTOR, 1.0)
    with loop(code, rows, 1, [one, one]) as query:
        total = code.load(code.at(unit.sums, query.index, 64), VECTOR, 64)
        share = code.rough_inverse(total)
        to = code.at(unit.out, b.mul(b.add(block, query.index), unit.out_row))
        line = code.at(unit.block, query.index, 4 * code.size)
        for number in range(code.size // LANES):
            x = b.fmul(code.load(code.at(line, 64 * number), VECTOR, 64), share)
            code.write(code.at(to, 2 * LANES * number), x, half=True)
        least, most = query.carried
        query.becomes = [code.smaller(least, total), code.larger(most, total)]
    least, most = (b.extract_element(x, ir.Constant(I32, 0)) for x in query.carried)
    return b.and_(
        b.fcmp_ordered(">=", least, ir.Constant(F32, _SUMS_FROM)),
        b.fcmp_ordered("<=", most, ir.Constant(F32, _SUMS_TO)),
    )


def _find_tops(code: HeadCode, unit: _Unit, block: ir.Value, rows: ir.Value) -> None:
    """The highest score of each query of the block, less than nothing."""
    b = code.builder
    lowest = ir.Constant(F32, float("-inf"))
    with loop(code, rows, 1) as query:
        b.store(lowest, code.at(unit.tops, query.index, 4), align=4)
    with loop(code, unit.padded, _BLOCK) as keys:
        _multiply(code, unit, block, keys.index)
        _store(code, unit.block, 4 * _BLOCK)
        some = _at_most_a_block(code, b.sub(unit.length, keys.index))
        with loop(code, rows, 1) as query, loop(code, some, 1) as key:
            place = code.at(unit.tops, query.index, 4)
            line = code.at(unit.block, query.index, 4 * _BLOCK)
            score = code.load(code.at(line, key.index, 4), F32)
            before = code.load(place, F32)
            higher = b.fcmp_ordered(">", score, before)
            b.store(b.select(higher, score, before), place, align=4)
    with loop(code, rows, 1) as query:
        place = code.at(unit.tops, query.index, 4)
        b.store(b.fneg(b.fmul(code.load(place, F32), unit.factor)), place, align=4)
