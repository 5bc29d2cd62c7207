"""Fused attention on a CPU, run by the threads that run torch's own operators.

Torch's operators for short texts spend most of their time between the products: half of a forward
pass in bf16 went there. The kernel is compiled when it is first needed.
"""

from __future__ import annotations

import ctypes
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.machine_code import compiled, features

if TYPE_CHECKING:
    import torch

LONGEST = 128
"""Tokens up to which it is faster than torch's operator, measured; AMX overtakes it beyond."""
_LARGEST_HEAD = 128
_NEEDS = {"avx512f"}
_TEXTS_A_THREAD = 8
_LINE = 64

_Run = Any
"""``attend(task)``, on as many threads as torch has."""


def is_available(size: int, dtype: torch.dtype) -> bool:
    """Whether heads of this size can be computed here: processor, number format, threads."""
    import torch

    fits = size % 32 == 0 and size <= _LARGEST_HEAD and dtype in (torch.float32, torch.bfloat16)
    return fits and features() >= _NEEDS and _team() is not None


def attend(
    qkv: torch.Tensor,
    mixed: torch.Tensor,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    heads: int,
) -> None:
    """Write softmax(Q Kᵀ / √size) V of each text into ``mixed``, without any mask.

    Args:
        qkv: float32 or bfloat16, queries, keys and values side by side. Shape: (tokens, 3 × width).
        mixed: The result, of the same type. Shape: (tokens, width).
        starts: int64[texts], the first token of each text.
        lengths: int64[texts], at least 1.
        heads: Number of heads; the size of each is width / heads.
    """
    import torch

    from sbert_cluster.encoder.attention.assembly import scratch_bytes

    size = mixed.shape[1] // heads
    threads = torch.get_num_threads()
    # Heads of a text lie side by side, so one thread takes them all; few texts are shared by heads.
    some = heads if len(starts) >= _TEXTS_A_THREAD * threads else 1
    room = scratch_bytes(size, int(lengths.max()))
    scratch = torch.empty(room * threads + _LINE, dtype=torch.uint8)
    task = _task_type()(
        qkv=qkv.data_ptr(),
        mixed=mixed.data_ptr(),
        starts=starts.ctypes.data,
        lengths=lengths.ctypes.data,
        scratch=scratch.data_ptr() + -scratch.data_ptr() % _LINE,
        units=len(starts) * heads // some,
        heads=heads,
        some=some,
        qkv_row=qkv.stride(0) * qkv.element_size(),
        mixed_row=mixed.stride(0) * mixed.element_size(),
        room=room,
        factor=math.log2(math.e) / math.sqrt(size),
    )
    team = _team()
    assert team is not None
    function = _function(size, half=qkv.dtype == torch.bfloat16)
    team(function, ctypes.addressof(task), threads, 0)


@cache
def _task_type() -> type[ctypes.Structure]:
    from sbert_cluster.encoder.attention.assembly import NUMBERS, POINTERS

    fields = [(name, ctypes.c_void_p) for name in POINTERS]
    numbers = [(name, ctypes.c_int64) for name in NUMBERS]
    return type(
        "Task", (ctypes.Structure,), {"_fields_": [*fields, *numbers, ("factor", ctypes.c_float)]}
    )


@cache
def _function(size: int, *, half: bool) -> int:
    """Address of the kernel."""
    from sbert_cluster.encoder.attention.assembly import kernel

    address: int = compiled(kernel(size, half=half), improved=True).get_function_address("attend")
    return address


@cache
def _team() -> _Run | None:
    """Runs a function on each thread of torch's own team; None where it cannot be reached.

    Those threads wait awake for a while after an operator of torch. Others would have to share the
    cores with them, which takes longer than the work.
    """
    import torch

    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
        loaded = {line.split(maxsplit=5)[-1] for line in maps.splitlines() if "libgomp" in line}
        # Other packages bring teams of their own; torch has the one in its folder.
        own = [path for path in loaded if Path(torch.__file__).parent in Path(path).parents]
        if not own and len(loaded) != 1:
            return None
        run = ctypes.CDLL((own or list(loaded))[0]).GOMP_parallel
    except (OSError, AttributeError):
        return None
    run.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    run.restype = None
    return run
