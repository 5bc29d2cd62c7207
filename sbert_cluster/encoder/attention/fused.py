"""Fused attention on a CPU, run by the threads that run torch's own operators.

Torch's operators for short texts spend most of their time between the products: half of a forward
pass in bf16 went there. The kernel is compiled when it is first needed.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.encoder import amx, team
from sbert_cluster.machine_code import compiled, features

if TYPE_CHECKING:
    import torch

_LONGEST = 128
"""Tokens up to which vectors of numbers are faster than torch's operator, measured."""
_LONGEST_BY_TILES = 4_096
_LARGEST_HEAD = 128
_NEEDS = {"avx512f"}
_TEXTS_A_THREAD = 8


def longest(size: int, dtype: torch.dtype) -> int:
    """Tokens of the longest text for which this is to be used; 0: it cannot run here.

    Args:
        size: Numbers of a head.
        dtype: Of the numbers.
    """
    import torch

    fits = size % 32 == 0 and size <= _LARGEST_HEAD and dtype in (torch.float32, torch.bfloat16)
    if not fits or not features() >= _NEEDS or not team.is_there():
        return 0
    return _LONGEST_BY_TILES if _by_tiles(size, dtype) else _LONGEST


def _by_tiles(size: int, dtype: torch.dtype) -> bool:
    import torch

    from sbert_cluster.encoder.attention.tiled import LARGEST_HEAD

    return dtype == torch.bfloat16 and size <= LARGEST_HEAD and amx.is_there("bf16")


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

    size = mixed.shape[1] // heads
    # Heads of a text lie side by side, so one thread takes them all; few texts are shared by heads.
    some = heads if len(starts) >= _TEXTS_A_THREAD * torch.get_num_threads() else 1
    code = _assembly(size, qkv.dtype)
    room = code.scratch_bytes(size, int(lengths.max()))
    scratch = team.Scratch(room)
    kind, function = _kernel(size, qkv.dtype)
    task = kind(
        qkv=qkv.data_ptr(),
        mixed=mixed.data_ptr(),
        starts=starts.ctypes.data,
        lengths=lengths.ctypes.data,
        scratch=scratch.address,
        config=amx.tile_shapes().ctypes.data,
        units=len(starts) * heads // some,
        heads=heads,
        some=some,
        qkv_row=qkv.stride(0) * qkv.element_size(),
        mixed_row=mixed.stride(0) * mixed.element_size(),
        room=room,
        factor=math.log2(math.e) / math.sqrt(size),
    )
    team.run(function, task)


def _assembly(size: int, dtype: torch.dtype) -> Any:
    """The module that writes the kernel."""
    from sbert_cluster.encoder.attention import assembly, tiled

    return tiled if _by_tiles(size, dtype) else assembly


@cache
def _kernel(size: int, dtype: torch.dtype) -> tuple[Any, int]:
    """The type of its task, and its address."""
    import torch

    from sbert_cluster.encoder.attention.heads import NUMBERS, POINTERS

    code = _assembly(size, dtype).kernel(size, half=dtype == torch.bfloat16)
    address = compiled(code, improved=True).get_function_address("attend")
    return team.task_type(POINTERS, NUMBERS, ["factor"]), address
