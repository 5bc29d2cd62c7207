"""Which tile goes where, and how long it would take: no Ray needed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_cluster.cli.main import run
from sbert_cluster.engines.schedule import BAND_BLOCKS, Schedule
from sbert_cluster.engines.simulation import Setting, grid_of, simulate
from sbert_cluster.neighbors.comparison import Grid

SETTINGS = settings(max_examples=60)
ALONE = Setting(workers=1, pair_s=1e-10, tile_s=0.0)


@st.composite
def grids(draw):
    left, same = draw(st.integers(0, 400)), draw(st.booleans())
    return Grid(left, left if same else draw(st.integers(0, 400)), same, 32, 32)


@SETTINGS
@given(grids(), st.integers(1, 5), st.data())
def test_every_tile_is_handed_out_once(grid, machines, data):
    """Whoever asks, in whatever order, with some tiles put back and some done before."""
    tiles = [tile for tile in grid.tiles() if data.draw(st.integers(0, 4))]
    schedule = Schedule(grid, tiles, machines)
    names = st.sampled_from([f"node {i}" for i in range(machines)])
    handed = []
    while (tile := schedule.take(data.draw(names))) is not None:
        if data.draw(st.integers(0, 9)) == 0:
            schedule.put_back(tile)
        else:
            handed.append(tile)
    assert sorted(handed) == sorted(tiles)
    assert schedule.take("another node") is None


def moves(order, room=12):
    """Blocks that arrive at machines, each with room for so many; order: (machine, tile)."""
    held: dict[str, list[int]] = {}
    count = 0
    for machine, tile in order:
        blocks = held.setdefault(machine, [])
        for block in {tile.row, tile.column}:
            if block in blocks:
                blocks.remove(block)
            else:
                count += 1
            blocks.append(block)
            del blocks[:-room]
    return count


def test_tiles_that_share_rows_stay_together():
    """With room for a band and a little more, each block that arrives serves several tiles."""
    grid = Grid(64 * 96, 64 * 96, True, 64, 32)
    tiles = list(grid.tiles())
    schedule = Schedule(grid, tiles, 4)
    taken, turn = [], 0
    while (tile := schedule.take("abcd"[turn % 4])) is not None:
        taken.append(("abcd"[turn % 4], tile))
        turn += 1
    assert len(taken) == len(tiles) == 96 * 97 // 2
    in_turn = [("abcd"[i % 4], tile) for i, tile in enumerate(tiles)]
    assert moves(taken) < len(tiles) / (BAND_BLOCKS / 3) < moves(in_turn) / 2


def test_one_machine_begins_with_the_long_tiles():
    """So that no long one is left alone at the end."""
    grid = Grid(230, 230, True, 64, 32)
    schedule = Schedule(grid, grid.tiles(), 1)
    pairs = []
    while (tile := schedule.take("here")) is not None:
        pairs.append(grid.pairs_of(tile))
    assert pairs == sorted(pairs, reverse=True)
    assert sum(pairs) == 230 * 229 // 2


def test_one_core_takes_as_long_as_its_pairs():
    """No overhead, no network: the work itself."""
    grid = grid_of(300_000)
    found = simulate(grid, 384, ALONE)
    assert found.seconds == pytest.approx(300_000 * 299_999 / 2 * 1e-10)
    assert found.work_s == pytest.approx(found.seconds)
    assert found.moved_bytes == 0
    assert found.tiles == 15


@pytest.mark.parametrize("workers", [2, 7, 16, 64, 200])
def test_time_lies_between_its_bounds(workers):
    """Never faster than all cores at work or than the longest tile; a list schedule is within 2."""
    grid = grid_of(2_000_000)
    found = simulate(grid, 384, Setting(workers, 1e-10, link_bytes_s=1e13, tile_s=0.0))
    longest = 65_536**2 * 1e-10
    least = max(found.work_s / workers, longest)
    assert least <= found.seconds * (1 + 1e-9)
    # No core waits while there is work, but for tiles that wait behind others.
    assert found.seconds <= found.work_s / workers + 2 * longest
    assert 0 < found.busy(workers) <= 1 + 1e-9


def test_slow_links_and_a_slow_driver_are_felt():
    """What is said to be the limit is the limit."""
    grid = grid_of(1_000_000)
    quick = simulate(grid, 384, Setting(64, 1e-10))
    slow = simulate(grid, 384, Setting(64, 1e-10, link_bytes_s=1e7))
    assert slow.seconds > quick.moved_bytes / 3 / 1e7 / 2 > quick.seconds
    driven = simulate(grid, 384, Setting(64, 1e-10, tile_s=1.0))
    assert driven.seconds >= 136
    assert simulate(grid, 384, Setting(16, 1e-10)).moved_bytes == 0


def test_dry_run_tells_the_plan(sample_data, tiny_model, tmp_path, capsys):
    """``--dry-run --engine ray`` needs neither Ray nor a cluster."""
    words = ["dedup", str(sample_data / "questions.csv"), "--model", str(tiny_model), "--dry-run"]
    # What other tests have encoded would not be planned.
    words += ["--cache-dir", str(tmp_path)]
    assert run([*words, "--engine", "ray", "--workers", "64"]) == 0
    told = capsys.readouterr().out
    for word in ("64, on 4 machines", "1 shards to encode, 1 tiles", "object store", "disk"):
        assert word in told
    assert run([*words, "--engine", "ray", "--workers", "64", "--json"]) == 0
    cluster = json.loads(capsys.readouterr().out)["cluster"]
    assert cluster["object_store_bytes"] == 1_175 * (4 * 32 + 192)
    assert cluster["disk_bytes"] > 1_175 * 4 * 32
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cluster"] is None
