"""Finished tiles outlive a kill, and none is done twice but the one in hand."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from sbert_cluster.neighbors import join
from sbert_cluster.neighbors.decide import Decided
from sbert_cluster.neighbors.tiles import FinishedOnDisk, Tile, tiles_between, tiles_within
from sbert_cluster.types import Pairs, Reason

# Tiles of 96 rows: 21 blocks, 231 tiles.
COMPARE = """
import sys, numpy as np
from pathlib import Path
from sbert_cluster.neighbors import join
join.TILE_ROWS, join.STRIP_ROWS = 96, 32
done = []
put = join.FinishedOnDisk.put
def noted(self, tile, result):
    put(self, tile, result)
    print(tile.row, tile.column, flush=True)
join.FinishedOnDisk.put = noted
found = join.find_pairs(np.load(sys.argv[1]), 0.6, folder=Path(sys.argv[2]))
pairs = found.pairs
np.savez(sys.argv[3], left=pairs.left, right=pairs.right, similarity=pairs.similarity,
         borderline=found.certificate.borderline)
"""


def decided(*pairs):
    left, right = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    similarity = np.linspace(0.9, 1, len(pairs), dtype=np.float32)
    reason = np.full(len(pairs), Reason.SEMANTIC, np.uint8)
    return Decided(Pairs(left, right, similarity, reason), 7, 3, 1)


def test_tiles_cover_every_pair_once():
    """Within: each unordered pair of blocks; between: each ordered one."""
    within = list(tiles_within(100, 32))
    assert len(within) == len(set(within)) == 4 * 5 // 2
    assert all(tile.column <= tile.row for tile in within)
    assert len(set(tiles_between(100, 33, 32))) == 4 * 2
    assert not list(tiles_within(0, 32))


def test_results_come_back_as_they_were_put(tmp_path):
    """A second reader finds what the first wrote, in order of tiles; clearing leaves nothing."""
    folder = tmp_path / "a" / "b"
    first = FinishedOnDisk(folder)
    first.put(Tile(32, 0), decided((40, 1), (41, 2)))
    first.put(Tile(0, 0), decided())
    again = FinishedOnDisk(folder)
    assert Tile(32, 0) in again
    assert Tile(0, 0) in again
    assert Tile(32, 32) not in again
    everything = again.all()
    assert everything.pairs.left.tolist() == [40, 41]
    assert everything.pairs.similarity.dtype == np.float32
    assert (everything.scored, everything.rescored, everything.borderline) == (14, 6, 2)
    again.clear()
    assert not folder.exists()


@pytest.mark.parametrize("torn", ['{"row": 32, "col', "\x00\x00", "[]", '{"row": 64, "column": 0}'])
def test_torn_lines_and_missing_files_are_work_to_do(tmp_path, torn):
    """What a kill leaves half-written is not taken for finished; what follows it is read."""
    store = FinishedOnDisk(tmp_path)
    store.put(Tile(0, 0), decided((1, 0)))
    with (tmp_path / "tiles.jsonl").open("a") as file:
        file.write(torn)
    store = FinishedOnDisk(tmp_path)
    assert Tile(0, 0) in store
    assert Tile(64, 0) not in store
    store.put(Tile(32, 0), decided((33, 0)))
    assert FinishedOnDisk(tmp_path).all().pairs.left.tolist() == [1, 33]


def test_five_kills_change_nothing(tmp_path):
    """Killed five times at random, the pairs are the same, and no finished tile is redone."""
    random = np.random.default_rng(11)
    vectors = random.normal(size=(2_000, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(tmp_path / "v.npy", vectors)
    whole = join.find_pairs(vectors, 0.6)
    assert len(whole.pairs) > 300
    arguments = [
        sys.executable,
        "-c",
        COMPARE,
        tmp_path / "v.npy",
        tmp_path / "t",
        tmp_path / "o.npz",
    ]
    finished: list[str] = []
    for _ in range(5):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            finished.append(process.stdout.readline())
            time.sleep(random.uniform(0, 0.12))
            process.send_signal(signal.SIGKILL)
            finished += process.stdout.read().splitlines(keepends=True)
    last = subprocess.run(arguments, capture_output=True, text=True, check=True)
    finished += last.stdout.splitlines(keepends=True)
    tiles = [line for line in finished if line.endswith("\n")]
    assert len(tiles) == len(set(tiles))
    assert len(tiles) >= 231 - 5
    assert not (tmp_path / "t").exists()
    with np.load(tmp_path / "o.npz") as out:
        order = np.lexsort((out["right"], out["left"], -out["similarity"]))
        expected = whole.pairs.ordered()
        assert np.array_equal(out["left"][order], expected.left)
        assert np.array_equal(out["right"][order], expected.right)
        assert np.array_equal(out["similarity"][order], expected.similarity)
        assert int(out["borderline"]) == whole.certificate.borderline


def test_manifest_is_one_line_a_tile(tmp_path):
    """A scheduler can read what is done."""
    FinishedOnDisk(tmp_path).put(Tile(0, 0), decided((1, 0)))
    lines = [line for line in (tmp_path / "tiles.jsonl").read_text().splitlines() if line]
    assert [json.loads(line)["pairs"] for line in lines] == [1]
