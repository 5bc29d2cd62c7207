"""The inner loops of join and search, in LLVM assembly, compiled at their first use.

``scan.ll`` walks over blocks of 32 × 32 rows; ``amx.ll`` and ``vnni.ll`` compute the products of a
block with the int8 instructions of a processor. ``dots.ll`` multiplies single queries with many
rows. Where neither instruction set is there, torch and numba do the same work instead.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.machine_code import compiled, features
from sbert_cluster.neighbors.codes import CHUNK, Numbers

BLOCK = 32
"""Rows on either side of the blocks that the assembly works on."""

_CAPACITY = 1 << 17
"""Pairs for which a call has room; it is called again where there are more."""
_SCRATCH_BYTES = BLOCK * BLOCK * 4
_LINE = 64
"""Bytes of a cache line, on which packed codes and scratch begin."""

# What the processor must have for a file, as LLVM names it.
_NEEDS = {"amx": ("amx-tile", "amx-int8", "avx512f"), "vnni": ("avx512f", "avx512vnni")}
# arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA): Linux asks to be told before AMX is used.
_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XTILEDATA = 158, 0x1023, 18

_Function = Callable[..., int]
_SCAN_ARGUMENTS = (
    ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p,
)  # fmt: skip
_DOTS_ARGUMENTS = (
    ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64,
)  # fmt: skip


@cache
def available() -> tuple[str, ...]:
    """Instruction sets that this processor has, the fastest first."""
    has = [name for name, needs in _NEEDS.items() if features() >= set(needs)]
    return tuple(name for name in has if name != "amx" or _may_use_amx())


def _may_use_amx() -> bool:
    try:
        answer: int = ctypes.CDLL(None).syscall(_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XTILEDATA)
    except (OSError, AttributeError, TypeError):
        return False
    return answer == 0


@cache
def _engine(*names: str) -> Any:
    """Machine code of these files, linked into one."""
    return compiled(*map(_assembly, names))


@cache
def _scan(name: str) -> _Function:
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, *_SCAN_ARGUMENTS)
    return prototype(_engine("scan", name).get_function_address("scan"))


@cache
def _dots() -> _Function:
    prototype = ctypes.CFUNCTYPE(None, *_DOTS_ARGUMENTS)
    return prototype(_engine("dots").get_function_address("dots"))


def warm_up() -> None:
    """Compile the fastest loop of a comparison now rather than at the first tile."""
    for name in available()[:1]:
        _scan(name)


def _assembly(name: str) -> str:
    return (files(__name__) / f"{name}.ll").read_text(encoding="utf-8")


def pack(numbers: Numbers) -> Numbers:
    """Lay out right rows as the instructions take them: four numbers of sixteen rows in turn.

    Args:
        numbers: int8[n, 64·c], n a multiple of 32.

    Returns:
        int8[n/16, c, 16, 16, 4]: sixteen rows, chunk, four numbers of it, row, number.
    """
    rows, width = numbers.shape
    # Four int8 numbers move as one int32.
    fours = np.ascontiguousarray(numbers).view(np.int32).reshape(rows // 16, 16, width // CHUNK, 16)
    packed = aligned(fours.size, np.int32).reshape(rows // 16, width // CHUNK, 16, 16)
    packed[...] = fours.transpose(0, 2, 3, 1)
    return packed.view(np.int8).reshape(*packed.shape, 4)


def aligned(size: int, dtype: type[np.int8] | type[np.int32]) -> NDArray[Any]:
    """An array of ``size`` numbers that begins on a cache line."""
    item = np.dtype(dtype).itemsize
    buffer = np.empty(size * item + _LINE, np.uint8)
    start = -buffer.ctypes.data % _LINE
    return buffer[start : start + size * item].view(dtype)


def scan(name: str, left: NDArray[Any], right: Numbers, lowest: int) -> Iterator[NDArray[np.int32]]:
    """Find pairs whose codes have a dot product ≥ ``lowest``.

    Args:
        name: One of :func:`available`.
        left: int8[n, 64·c] for ``amx``, uint8 with 128 added for ``vnni``; n a multiple of 32.
        right: What :func:`pack` gives.
        lowest: The least product of a pair.

    Yields:
        int32[m, 2]: row of the left, row of the right; m up to 2^17.
    """
    function = _scan(name)
    left_blocks, right_blocks = len(left) // BLOCK, len(right) * 16 // BLOCK
    scratch = aligned(_SCRATCH_BYTES // 4, np.int32)
    found = np.empty((_CAPACITY, 2), np.int32)
    position = np.zeros(1, np.int64)
    while position[0] < left_blocks * right_blocks:
        count = function(
            left.ctypes.data, left_blocks, right.ctypes.data, right_blocks,
            left.shape[1] // CHUNK, lowest, scratch.ctypes.data,
            found.ctypes.data, len(found), position.ctypes.data,
        )  # fmt: skip
        if count:
            yield found[:count].copy()


def dots(queries: Numbers, rows: NDArray[np.uint8], out: NDArray[np.int32]) -> None:
    """Multiply some queries with many rows; needs ``vnni``.

    Args:
        queries: int8[q, 16·c], C-contiguous.
        rows: uint8[n/16, 4·c, 16, 4], C-contiguous and on a cache line: sixteen rows, four numbers
            of it, row, number; 128 is added to each number.
        out: int32[q, m], m ≥ n; the first n numbers of each line are written.
    """
    starts = -128 * queries.sum(axis=1, dtype=np.int32)
    _dots()(
        queries.ctypes.data, len(queries), starts.ctypes.data, rows.ctypes.data, len(rows),
        queries.shape[1] // 16, out.ctypes.data, out.strides[0] // 4,
    )  # fmt: skip
