"""What a run costs is measured, not guessed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sbert_cluster.meter import Stopwatch, free_memory_bytes, peak_memory_bytes, versions


def test_peak_memory_sees_what_was_held():
    """A block that was held for a moment raises the peak by its size."""
    before = peak_memory_bytes()
    size = before + 50_000_000
    assert np.ones(size, np.uint8)[-1] == 1
    assert peak_memory_bytes() >= size


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hand the peak down")
def test_peak_memory_is_that_of_this_process():
    """A small program that a large one launches does not report the large one's peak."""
    held = np.ones(600_000_000, np.uint8)
    code = "from sbert_cluster.meter import peak_memory_bytes as p; print(p())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < len(held) // 2


def test_stopwatch_adds_up_by_stage():
    """A stage that is entered twice counts both times; the total is never less than a stage."""
    watch = Stopwatch("read", "write")
    for _ in range(2):
        with watch.stage("read"):
            sum(range(200_000))
    seconds = watch.read()
    assert set(seconds) == {"read", "write", "total"}
    assert seconds["write"] == 0
    assert seconds["total"] >= seconds["read"] > 0


def test_versions_and_free_memory_are_told():
    """Python and polars are named with their versions; some memory is free."""
    assert {"python", "polars"} <= versions().keys()
    assert free_memory_bytes() > 0
