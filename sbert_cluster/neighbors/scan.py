"""Compares all codes of two sides: the step that every pair goes through.

Each scanner gives the same pairs, since products of int8 codes are exact however they are computed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.neighbors import native
from sbert_cluster.neighbors.codes import EXACT_IN_FLOAT32, Numbers

if TYPE_CHECKING:
    import torch

Found = NDArray[np.int32]
"""int32[m, 2]: row of the left, row of the right."""

MULTIPLE = native.BLOCK
"""Codes come in a multiple of this number of rows."""


class Scanner(Protocol):
    """Finds pairs of rows whose codes have a large product."""

    @property
    def name(self) -> str:
        """For the manifest."""

    @property
    def workers(self) -> int:
        """How many threads may scan at a time."""

    @property
    def look_ns(self) -> float:
        """Nanoseconds for a pair, by all workers together, besides its products (measured)."""

    @property
    def chunk_ns(self) -> float:
        """Nanoseconds for the products of one chunk of a pair (measured)."""

    def left(self, numbers: Numbers) -> Any:
        """Prepare int8[n, 64·c] codes as a left side."""

    def right(self, numbers: Numbers) -> Any:
        """Prepare int8[n, 64·c] codes as a right side."""

    def scan(self, left: Any, right: Any, lowest: int) -> Iterator[Found]:
        """Find all pairs with a product ≥ ``lowest``, some at a time."""


@dataclass(frozen=True)
class NativeScanner:
    """The int8 instructions of the processor."""

    name: str
    look_ns: float
    chunk_ns: float
    workers: int = 1

    def left(self, numbers: Numbers) -> NDArray[Any]:
        """See :class:`Scanner`."""
        return numbers.view(np.uint8) ^ 128 if self.name == "vnni" else numbers

    def right(self, numbers: Numbers) -> Numbers:
        """See :class:`Scanner`."""
        return native.pack(numbers)

    def scan(self, left: NDArray[Any], right: Numbers, lowest: int) -> Iterator[Found]:
        """See :class:`Scanner`."""
        return native.scan(self.name, left, right, lowest)


@dataclass(frozen=True)
class TorchScanner:
    """Products in torch, on any device: int8 on CUDA, float32 elsewhere, where it is as exact."""

    device: str = "cpu"
    name: str = "torch"
    look_ns: float = 0.25
    chunk_ns: float = 0.2
    workers: int = 1

    _BLOCK_ROWS = 1_024
    """Rows on either side of a product on the CPU; its 4 MB stay in the cache of the cores."""
    _CUDA_ROWS = 16_384

    def left(self, numbers: Numbers) -> torch.Tensor:
        """See :class:`Scanner`."""
        import torch

        codes = torch.from_numpy(numbers).to(self.device)
        if self._is_cuda:
            return codes
        # Sums of up to a thousand products are below 2^24, hence exact in float32.
        return codes.float() if numbers.shape[1] <= EXACT_IN_FLOAT32 else codes.double()

    def right(self, numbers: Numbers) -> torch.Tensor:
        """See :class:`Scanner`."""
        return self.left(numbers)

    @property
    def _is_cuda(self) -> bool:
        return self.device.startswith("cuda")

    def scan(self, left: torch.Tensor, right: torch.Tensor, lowest: int) -> Iterator[Found]:
        """See :class:`Scanner`."""
        import torch

        step = self._CUDA_ROWS if self._is_cuda else self._BLOCK_ROWS
        for row in range(0, len(left), step):
            for column in range(0, len(right), step):
                one, other = left[row : row + step], right[column : column + step]
                products = torch._int_mm(one, other.T) if self._is_cuda else one @ other.T
                # Most rows have no pair, and a row's maximum is the quickest to tell.
                rows = (products.amax(dim=1) >= lowest).nonzero()[:, 0]
                if len(rows):
                    i, j = (products[rows] >= lowest).nonzero(as_tuple=True)
                    found = torch.stack([rows[i] + row, j + column], dim=1)
                    yield found.to(torch.int32).cpu().numpy()


@cache
def scanners(device: str = "cpu") -> tuple[Scanner, ...]:
    """The fastest scanners: one for each GPU of a CUDA device, otherwise one for the processor.

    Args:
        device: ``cpu``, ``cuda`` (all GPUs), ``cuda:1``, ``mps``.
    """
    if device.startswith("cuda"):
        import torch

        count = torch.cuda.device_count()
        names = [device] if ":" in device else [f"cuda:{i}" for i in range(count)]
        return tuple(TorchScanner(name, look_ns=0.02, chunk_ns=0.002) for name in names)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = max(1, cores or 1)
    # Measured on two cores; more cores divide both figures alike.
    for name in native.available():
        look, chunk = {"amx": (0.035, 0.035), "vnni": (0.02, 0.23)}[name]
        return (NativeScanner(name, look / workers, chunk / workers, workers),)
    return (TorchScanner(),)
