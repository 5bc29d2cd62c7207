"""Runs to browse, made once from the sample data with the tiny model."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from sbert_cluster.pipeline import dedup, groups

ROOT = Path(__file__).resolve().parents[2]
TINY = str(ROOT / "tests" / "data" / "tiny-model")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the questions, and a run of each command on them."""
    folder = tmp_path_factory.mktemp("runs")
    os.environ["SBERT_CLUSTER_CACHE"] = str(folder / "cache")
    frame = pl.read_csv(ROOT / "sample_data" / "questions.csv", infer_schema=False)
    frame.head(400).write_csv(folder / "questions.csv")
    source = str(folder / "questions.csv")
    dedup(source, threshold=0.8, model=TINY, output=folder / "questions.dedup")
    groups(source, model=TINY, layers=True, output=folder / "questions.groups")
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    """A copy of these runs, to be edited."""
    for name in ("questions.dedup", "questions.groups"):
        shutil.copytree(made / name, tmp_path / name)
    shutil.copy(made / "questions.csv", tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def until() -> Callable:
    """Waits for a condition, and not for a time."""

    async def wait(pilot, condition, what="it"):
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, f"waited too long for {what}"
            await pilot.pause()
            await asyncio.sleep(0.01)

    return wait
