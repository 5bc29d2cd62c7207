"""Drivers that are killed, and a cluster of two nodes that loses one; in processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.engines.ray import engine as engine_module
from sbert_cluster.neighbors import join
from sbert_cluster.options import EncodeOptions

WORKER = Path(__file__).with_name("ray_worker.py")
TILE_ROWS = 1_024
THRESHOLD = 0.55
ROWS = 9_000
TILES = 9 * 10 // 2

pytestmark = pytest.mark.usefixtures("on_ray")


def killed_after(lines, *words):
    """Run the worker until it has told so much, then end it; what it told in all."""
    arguments = [sys.executable, str(WORKER), *map(str, words)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        told = [process.stdout.readline() for _ in range(lines)]
        # Looking at its children takes a while, in which it could come to its end.
        process.send_signal(signal.SIGSTOP)
        children = psutil.Process(process.pid).children(recursive=True)
        titles = {child.pid: _title(child) for child in children}
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().splitlines(keepends=True)
    # Ray ends with its driver, but for two helpers that take their time to see it.
    working = [child for child in children if not titles[child.pid].endswith("Agent")]
    deadline = time.monotonic() + 60
    while any(_runs(child) for child in working) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [child for child in working if _runs(child)], "Ray outlives its driver"
    for child in children:
        if _runs(child):
            child.kill()
    return [line for line in told if line.endswith("\n")]


def _title(process):
    try:
        return process.cmdline()[0]
    except (psutil.NoSuchProcess, IndexError):
        return ""


def _runs(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def vectors(tmp_path, unit_rows):
    rows = unit_rows(ROWS, 24, 6)
    np.save(tmp_path / "v.npy", rows)
    return rows


def assert_written(folder, expected):
    pairs = expected.pairs.ordered()
    assert len(pairs) > 1_000
    with np.load(folder / "o.npz") as out:
        for name in ("left", "right", "similarity"):
            assert np.array_equal(out[name], getattr(pairs, name))


def test_comparison_goes_on_after_its_driver_was_killed(tmp_path, vectors, ray_engine, monkeypatch):
    """No finished tile is compared again, and the pairs are the same."""
    monkeypatch.setattr(join, "TILE_ROWS", TILE_ROWS)
    expected = join.find_pairs(vectors, THRESHOLD)
    first = killed_after(8, "compare", tmp_path)
    assert 8 <= len(first) < TILES
    told = []
    again = join.find_pairs(
        vectors,
        THRESHOLD,
        lambda *told_: told.append(told_[1]),
        folder=tmp_path / "tiles",
        compare=ray_engine.compare,
    )
    # What was finished is told first, then each tile that was not.
    assert TILES - len(first) - 1 <= len(told) - 1 <= TILES - len(first)
    assert again.certificate == expected.certificate
    one, other = again.pairs.ordered(), expected.pairs.ordered()
    assert np.array_equal(one.left, other.left)
    assert np.array_equal(one.similarity, other.similarity)


def test_encoding_goes_on_after_its_driver_was_killed(
    tmp_path, tiny_model, ray_engine, monkeypatch
):
    """What was told as done is in the cache, and is not encoded again."""
    texts = [f"how do i pay for order {number} " * (1 + number % 9) for number in range(1_500)]
    job = {"texts": texts, "model": str(tiny_model)}
    (tmp_path / "texts.json").write_text(json.dumps(job), "utf-8")
    told = killed_after(30, "encode", tmp_path)
    done = int(told[-1].split()[1])
    assert 0 < done < len(texts)
    monkeypatch.setattr(engine_module, "FEW_TEXTS", 0)
    common = {"model": str(tiny_model), "batch_tokens": 128}
    encoder = Encoder.open(EncodeOptions(cache_dir=tmp_path / "cache", **common))
    assert encoder.count_cached(texts) >= done
    seen = []
    again = encoder.encode(texts, lambda *told: seen.append(told[1]), forward=ray_engine.forward)
    assert seen[0] >= done
    plain = Encoder.open(EncodeOptions(use_cache=False, **common)).encode(texts)
    # Those that were left make other batches: a few last bits of a float32 differ.
    assert np.allclose(again.vectors, plain.vectors, atol=2e-6)


def test_a_node_that_is_lost_changes_nothing(tmp_path, vectors, monkeypatch):
    """Two nodes share the tiles; one dies half-way, and the other does its part."""
    monkeypatch.setattr(join, "TILE_ROWS", TILE_ROWS)
    expected = join.find_pairs(vectors, THRESHOLD)
    done = subprocess.run(
        [sys.executable, str(WORKER), "two_nodes", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "lost a node" in done.stdout
    assert done.stdout.count("done ") == TILES
    assert_written(tmp_path, expected)
