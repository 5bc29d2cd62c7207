"""What all tests share: no network, a cache of their own, the sample data, a tiny model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# Set before any library reads them: tests never reach a network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Workers share the cores: threads of one that wait spinning would take them from another.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    share = str(max(1, (os.cpu_count() or 1) // workers))
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", share)

# A slow machine is no bug.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep vectors of tests out of the developer's own cache."""
    monkeypatch.setenv("SBERT_CLUSTER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def sample_data() -> Path:
    """The folder of sample data."""
    return ROOT / "sample_data"


@pytest.fixture
def tiny_model() -> Path:
    """A real model of a few hundred kB: fast, and without any sense of meaning."""
    return ROOT / "tests" / "data" / "tiny-model"
