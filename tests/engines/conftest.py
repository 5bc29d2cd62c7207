"""A real Ray on this machine, started once for each process that runs tests."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from contextlib import contextmanager

import numpy as np
import psutil
import pytest

from sbert_cluster.engines import open_engine
from sbert_cluster.options import EngineName, EngineOptions

WORKERS = 2


@pytest.fixture(scope="session")
def on_ray():
    """Options of an engine that is open for all tests."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install 'sbert-cluster[ray]'")
    options = EngineOptions(name=EngineName.RAY, workers=WORKERS)
    with open_engine(options):
        yield options


@pytest.fixture
def ray_engine(on_ray):
    """The engine on it."""
    with open_engine(on_ray) as engine:
        yield engine


def _unit_rows(rows, dimensions, seed):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, dimensions)).astype(np.float32)
    vectors[rows // 3] = 0
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-9)).astype(np.float32)


@pytest.fixture(scope="session")
def unit_rows():
    """Rows, dimensions and seed → float32 unit rows, one of them zero."""
    return _unit_rows


class Killer:
    """Ends processes of Ray by what they are doing just now."""

    def __init__(self):
        self.killed = []

    def kill(self, title, wait_s=60.0):
        """End one process that works on something of that name."""
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            for process in psutil.Process().children(recursive=True):
                with _gone():
                    if process.cmdline()[0].startswith(f"ray::{title}"):
                        process.send_signal(signal.SIGKILL)
                        self.killed.append(process.pid)
                        return
            time.sleep(0.005)


@contextmanager
def _gone():
    try:
        yield
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, IndexError):
        return


@pytest.fixture
def killer():
    """Ends processes."""
    assert os.name == "posix"
    return Killer()
