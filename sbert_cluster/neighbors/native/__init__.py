"""The inner loop of the join, in LLVM assembly, compiled at its first use.

``scan.ll`` walks over blocks of 32 × 32 rows; ``amx.ll`` and ``vnni.ll`` compute the products of a
block with the int8 instructions of a processor. llvmlite, which brings LLVM along, turns them into
machine code in some hundredths of a second; no compiler is needed on the user's machine. Where
neither instruction set is there, :mod:`~sbert_cluster.neighbors.scan` uses torch instead.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

_Scan = Callable[..., int]
_ARGUMENTS = (
    ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p,
)  # fmt: skip


@cache
def available() -> tuple[str, ...]:
    """Instruction sets that this processor has, the fastest first."""
    try:
        import llvmlite.binding as llvm

        features = llvm.get_host_cpu_features()
    except (ImportError, RuntimeError, OSError):
        return ()
    has = [name for name, needs in _NEEDS.items() if all(features.get(need) for need in needs)]
    return tuple(name for name in has if name != "amx" or _may_use_amx())


def _may_use_amx() -> bool:
    try:
        answer: int = ctypes.CDLL(None).syscall(_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XTILEDATA)
    except (OSError, AttributeError, TypeError):
        return False
    return answer == 0


@cache
def _compiled(name: str) -> tuple[_Scan, Any]:
    """The function, and the engine that must live as long as it does."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(_assembly("scan"))
    module.link_in(llvm.parse_assembly(_assembly(name)))
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
    )
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, *_ARGUMENTS)
    return prototype(engine.get_function_address("scan")), engine


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
    function, _ = _compiled(name)
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
