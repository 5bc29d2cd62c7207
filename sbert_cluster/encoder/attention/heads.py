"""What every kernel of attention shares: its task, and the threads' way through texts and heads.

A unit of work is some heads of one text; threads take units from a counter until none are left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from sbert_cluster.encoder.language import (
    F32,
    I32,
    I64,
    LANES,
    NOTHING,
    POINTER,
    WORDS,
    Code,
    filled,
    loop,
    whole,
)

POINTERS = ("qkv", "mixed", "starts", "lengths", "scratch", "config")
NUMBERS = ("units", "heads", "some", "qkv_row", "mixed_row", "next", "thread", "room")
"""The task, eight bytes a field: pointers, whole numbers, then ``factor``, a float.

qkv, mixed: rows of all heads, ``qkv_row`` and ``mixed_row`` bytes apart. starts, lengths:
int64[texts]. units: texts × heads / some. some: heads of a unit. next, thread: counters, 0 at
first. scratch: ``room`` bytes a thread, on a cache line. config:
of tiles. factor: of the scores, with log2(e).
"""


@dataclass
class HeadCode(Code):
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
class Head:
    """Where one head of one text lies."""

    query: ir.Value
    key: ir.Value
    value: ir.Value
    out: ir.Value
    length: ir.Value
    """Tokens."""
    row: ir.Value
    """Bytes from one token's queries, keys and values to the next one's."""
    out_row: ir.Value
    factor: ir.Value
    scratch: ir.Value


def module(size: int, *, half: bool, write: Callable[[HeadCode, Head], None], room: int = 0) -> str:
    """A module with one function, ``attend(task)``.

    Args:
        size: Numbers of a head, a multiple of 32.
        half: Whether numbers are bfloat16 rather than float32.
        write: Writes the attention of one head.
        room: Bytes at the start of the scratch that keep the shapes of tiles; 0: none are used.
    """
    made = ir.Module()
    made.triple = ""
    code = HeadCode(made, ir.IRBuilder(), size, half)
    kind = ir.FunctionType(NOTHING, [POINTER] * 4 + [I64] * 3 + [F32, POINTER])
    function = ir.Function(made, kind, "head")
    function.linkage = "internal"
    code.builder.position_at_end(function.append_basic_block("entry"))
    write(code, Head(*function.args))
    code.builder.ret_void()
    _attend(code, function, room)
    return str(made)


def clamped(code: HeadCode, head: Head, first: ir.Value, number: int) -> ir.Value:
    """The row ``first + number``; behind the end of the text, its last one again."""
    b = code.builder
    row, last = b.add(first, whole(number)), b.sub(head.length, whole(1))
    return b.select(b.icmp_signed("<", row, last), row, last)


def _attend(code: HeadCode, head: ir.Function, room: int) -> None:
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
    before = code.at(task["scratch"], b.mul(thread, task["room"]))
    scratch = code.at(before, room)
    if room:
        # The library that torch multiplies with believes the tiles to be as it left them.
        code.tile("sttilecfg", before)
        code.tile("ldtilecfg", task["config"])
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
    if room:
        code.tile("ldtilecfg", before)
    b.ret_void()


def turn_keys(code: HeadCode, head: Head, to: ir.Value, padded: ir.Value) -> None:
    """Turn the keys on their side, sixteen at a time.

    Args:
        code: Where to write.
        head: Whose keys.
        to: A line for each word of the head, a column for each key.
        padded: Length of a line in words: the text's, up to whole vectors.
    """
    b = code.builder
    with loop(code, padded, LANES) as token:
        places = []
        for number in range(LANES):
            # Columns behind the end of the text are never used, but are worked on.
            row = clamped(code, head, token.index, number)
            places.append(code.at(head.key, b.mul(row, head.row)))
            code.fetch_early(code.at(places[-1], code.row_bytes))
        for word in range(0, code.words, LANES):
            rows = [code.load(code.at(place, 4 * word), WORDS) for place in places]
            for number, column in enumerate(code.turned(rows)):
                line = code.at(to, b.mul(padded, whole(4)), word + number)
                b.store(column, code.at(line, token.index, 4), align=4)
