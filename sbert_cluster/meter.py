"""What a run costs: seconds per stage, memory at its highest, and the versions that ran."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

REPORTED_PACKAGES = ("sbert-cluster", "torch", "transformers", "tokenizers", "polars", "numpy")


class Stopwatch:
    """Seconds per stage, and in all."""

    def __init__(self, *stages: str) -> None:
        self._begun = time.perf_counter()
        self._seconds = dict.fromkeys(stages, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - begun

    def read(self) -> dict[str, float]:
        """Seconds per stage and ``total``, to the millisecond."""
        total = time.perf_counter() - self._begun
        return {name: round(s, 3) for name, s in {**self._seconds, "total": total}.items()}


def peak_memory_bytes() -> int:
    """The most memory that the process has held, in bytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "linux":
        # getrusage would start from what the program that launched this one held.
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kibibytes, macOS bytes.
    return int(peak if sys.platform == "darwin" else peak * 1024)


def free_memory_bytes() -> int:
    """Memory that a new process could take without swapping, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available)


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a result."""
    found = {"python": sys.version.partition(" ")[0]}
    for package in REPORTED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
