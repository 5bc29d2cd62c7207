"""The kernel of attention in LLVM's language, made for the size of a head and a number format.

The keys of a head are turned on their side once. Then four queries at a time meet 32 keys at a
time, the softmax follows in base 2, and the four weighted sums of values stay in registers: no
score leaves the first cache.

Everything is computed in float32. Keys move in words of 32 bits, which are one float32 or two
bfloat16, and are widened when they are used. (The processors' own products of bfloat16 were slower:
one of them takes as long as four of float32.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from sbert_cluster.encoder.attention.heads import Head, HeadCode, clamped, module, turn_keys
from sbert_cluster.encoder.language import (
    F32,
    I64,
    LANES,
    VECTOR,
    WORDS,
    Loop,
    filled,
    loop,
    whole,
)
from sbert_cluster.encoder.team import lines

QUERIES = 4
"""Queries that are worked on together."""


def scratch_bytes(size: int, longest: int) -> int:
    """Scratch that a thread needs: queries, then scores, keys and values of the longest text."""
    padded = -(-longest // LANES) * LANES
    needed = 4 * (QUERIES * size + padded * (QUERIES + 2 * size))
    return lines(needed)


def kernel(size: int, *, half: bool) -> str:
    """A module with one function, ``attend(task)``; see :func:`heads.module`."""
    return module(size, half=half, write=_head)


@dataclass
class _Unit(Head):
    """And where its parts lie in the scratch."""

    queries: ir.Value
    """QUERIES heads; of two numbers in a word, all first ones come first."""
    scores: ir.Value
    """QUERIES lines of scores, then of weights."""
    keys: ir.Value
    """A line for each word of the head, a column for each key."""
    values: ir.Value
    """A line for each token."""
    padded: ir.Value
    """Length of a line: the text's, up to whole vectors."""
    line: ir.Value
    """The same in bytes."""


def _head(code: HeadCode, head: Head) -> None:
    """Attention of one head of one text."""
    b = code.builder
    padded = b.and_(b.add(head.length, whole(LANES - 1)), whole(-LANES))
    line = b.mul(padded, whole(4))
    scores = code.at(head.scratch, QUERIES * code.size, 4)
    keys = code.at(scores, line, QUERIES)
    values = code.at(keys, line, code.words)
    unit = _Unit(**vars(head), queries=head.scratch, scores=scores, keys=keys, values=values,
                 padded=padded, line=line)  # fmt: skip
    turn_keys(code, head, keys, padded)
    _widen_values(code, unit)
    with loop(code, head.length, QUERIES) as four:
        rows = _fetch(code, unit, four.index)
        sums = _weigh(code, unit, _score(code, unit))
        for place, total, pieces in zip(rows, sums, _mix(code, unit), strict=True):
            share = code.splat(b.fdiv(ir.Constant(F32, 1.0), total))
            for number, piece in enumerate(pieces):
                to = code.at(head.out, b.mul(place, head.out_row))
                step = number * LANES * 4 // code.numbers
                code.write(code.at(to, step), b.fmul(piece, share), half=code.half)


def _widen_values(code: HeadCode, unit: _Unit) -> None:
    """Put the values by, as float32."""
    b = code.builder
    with loop(code, unit.length, 1) as token:
        place = code.at(unit.value, b.mul(token.index, unit.row))
        code.fetch_early(code.at(place, code.row_bytes))
        for step in range(0, code.size, LANES):
            numbers = code.read(code.at(place, step * 4 // code.numbers), half=code.half)
            to = code.at(code.at(unit.values, token.index, 4 * code.size), 4 * step)
            b.store(numbers, to, align=4)


def _fetch(code: HeadCode, unit: _Unit, first: ir.Value) -> list[ir.Value]:
    """Put the next queries by; behind the end of the text, the last one again."""
    b = code.builder
    rows = []
    for number in range(QUERIES):
        row = clamped(code, unit, first, number)
        place = code.at(unit.query, b.mul(row, unit.row))
        code.fetch_early(code.at(place, code.row_bytes))
        for half, numbers in enumerate(code.halves(code.load(place, code.row))):
            b.store(
                numbers, code.at(unit.queries, number * code.size + half * code.words, 4), align=4
            )
        rows.append(row)
    return rows


def _score(code: HeadCode, unit: _Unit) -> list[ir.Value]:
    """Scores of all keys; returns the highest of each query, sixteen candidates each."""
    b = code.builder
    most: Sequence[ir.Value] = [filled(VECTOR, float("-inf"))] * QUERIES
    pairs = b.and_(unit.padded, whole(-2 * LANES))
    for count, start, stop in ((2, None, pairs), (1, pairs, unit.padded)):
        with loop(code, stop, count * LANES, most, start) as keys:
            keys.becomes = _score_some(code, unit, keys, count)
        most = keys.carried
    return list(most)


def _score_some(code: HeadCode, unit: _Unit, keys: Loop, count: int) -> list[ir.Value]:
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


def _scores_of(code: HeadCode, unit: _Unit, query: int) -> ir.Value:
    return code.at(unit.scores, unit.line, query)


def _weigh(code: HeadCode, unit: _Unit, most: list[ir.Value]) -> list[ir.Value]:
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


def _mix(code: HeadCode, unit: _Unit) -> list[list[ir.Value]]:
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
