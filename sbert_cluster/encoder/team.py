"""Kernels of our own, run by the threads that run torch's operators.

Those threads wait awake for a while after an operator of torch. Others would have to share the
cores with them, which takes longer than the work.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

_LINE = 64
_PAGE = 4_096


def is_there() -> bool:
    """Whether torch's threads can be reached."""
    return _gomp() is not None


def run(function: int, task: ctypes.Structure) -> None:
    """Run ``function(task)`` on each of torch's threads, and wait.

    Args:
        function: Address of a function that takes a pointer.
        task: What it points to; counters in it tell the threads which part is theirs.
    """
    import torch

    team = _gomp()
    assert team is not None
    team(function, ctypes.addressof(task), torch.get_num_threads(), 0)


def task_type(
    pointers: Sequence[str], numbers: Sequence[str], floats: Sequence[str] = ()
) -> type[ctypes.Structure]:
    """A structure of pointers, then int64, then float32."""
    fields: list[tuple[str, Any]] = [(name, ctypes.c_void_p) for name in pointers]
    fields += [(name, ctypes.c_int64) for name in numbers]
    fields += [(name, ctypes.c_float) for name in floats]
    return type("Task", (ctypes.Structure,), {"_fields_": fields})


class Scratch:
    """Memory for the threads, for as long as this lives.

    Args:
        room: Bytes a thread, a multiple of 64.
    """

    def __init__(self, room: int) -> None:
        import torch

        self._memory = torch.empty(room * torch.get_num_threads() + _PAGE, dtype=torch.uint8)

    @property
    def address(self) -> int:
        """Of its first whole page."""
        start = self._memory.data_ptr()
        return start + -start % _PAGE


def lines(size: int) -> int:
    """Bytes, up to whole lines of the cache."""
    return -(-size // _LINE) * _LINE


@cache
def _gomp() -> Any:
    """``GOMP_parallel`` of the library that torch runs its threads with; None: not to be had."""
    import torch

    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
        loaded = {line.split(maxsplit=5)[-1] for line in maps.splitlines() if "libgomp" in line}
        # Other packages bring teams of their own; torch has the one in its folder.
        own = [path for path in loaded if Path(torch.__file__).parent in Path(path).parents]
        if not own and len(loaded) != 1:
            return None
        gomp = ctypes.CDLL((own or list(loaded))[0]).GOMP_parallel
    except (OSError, AttributeError):
        return None
    gomp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    gomp.restype = None
    return gomp
