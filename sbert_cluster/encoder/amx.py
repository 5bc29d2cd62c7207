"""The tile unit of Intel's processors (AMX): whether it may be used, and the shape of its tiles."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

import numpy as np

from sbert_cluster.machine_code import features


def is_there(kind: str) -> bool:
    """Whether this processor and its system let tiles be multiplied.

    Args:
        kind: Of their numbers, ``bf16`` or ``int8``.
    """
    needs = {"amx-tile", f"amx-{kind}", "avx512f", "avx512bf16"}
    return features() >= needs and _is_permitted()


@cache
def tile_shapes() -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Eight tiles of 16 lines of 64 bytes, as ``ldtilecfg`` reads them."""
    config = np.zeros(64, np.uint8)
    config[0] = 1
    config[16:32].view(np.uint16)[:] = 64
    config[48:56] = 16
    return config


@cache
def _is_permitted() -> bool:
    """Whether Linux lets this process use tiles; it has to be asked once."""
    if not sys.platform.startswith("linux"):
        return False
    arch_prctl, request, tile_data = 158, 0x1023, 18
    try:
        return int(ctypes.CDLL(None).syscall(arch_prctl, request, tile_data)) == 0
    except (OSError, AttributeError):
        return False
