"""Tiles and queries on a real Ray: the same answer, whatever dies."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from sbert_cluster.engines.ray import engine as engine_module
from sbert_cluster.engines.ray.cluster import Cluster
from sbert_cluster.engines.ray.tasks import ATTEMPTS, Tasks
from sbert_cluster.errors import EngineError
from sbert_cluster.neighbors import join
from sbert_cluster.neighbors.search import find_nearest
from sbert_cluster.neighbors.tiles import FinishedOnDisk


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of 96 rows: few rows cross many borders."""
    monkeypatch.setattr(join, "TILE_ROWS", 96)
    monkeypatch.setattr(join, "STRIP_ROWS", 32)


def same_pairs(one, other):
    one, other = one.pairs.ordered(), other.pairs.ordered()
    for name in ("left", "right", "similarity", "reason"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    return len(one) > 0


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("where", ["memory", "folder", "folder of one machine"])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_pairs_are_those_of_one_machine(
    on_ray, ray_engine, unit_rows, tmp_path, monkeypatch, workers, where
):
    """Pairs, similarities and what was looked at, for any number of workers and any folder."""
    monkeypatch.setattr(ray_engine._cluster, "workers", workers)
    ray_engine._cluster.look_again()
    assert ray_engine._cluster.slots == min(workers, on_ray.workers)
    folder = None if where == "memory" else tmp_path / "tiles"
    if where == "folder of one machine":
        # Without the sign that a folder is shared, workers send their tiles back.
        monkeypatch.setattr("sbert_cluster.engines.ray.tiles.Path.touch", lambda _: None)
    vectors = unit_rows(700, 24, workers)
    here = join.find_pairs(vectors, 0.5)
    there = join.find_pairs(vectors, 0.5, folder=folder, compare=ray_engine.compare)
    assert same_pairs(here, there)
    assert here.certificate == there.certificate
    assert folder is None or not folder.exists()


@pytest.mark.usefixtures("small_tiles")
def test_pairs_between_are_those_of_one_machine(ray_engine, unit_rows):
    """Two sides of different lengths, one of them empty, or all of it one tile."""
    left, right = unit_rows(500, 24, 1), unit_rows(230, 24, 2)
    for a, b in ((left, right), (right, left), (left[:5], right[:3]), (left[:0], right)):
        here = join.find_pairs_between(a, b, 0.4)
        there = join.find_pairs_between(a, b, 0.4, compare=ray_engine.compare)
        same_pairs(here, there)
        assert here.certificate == there.certificate


def test_neighbors_are_those_of_one_machine(ray_engine, unit_rows, monkeypatch):
    """Rows among themselves and foreign queries; zero rows and ties included."""
    monkeypatch.setattr(engine_module, "WORTH_PRODUCTS", 1)
    vectors, queries = unit_rows(3_000, 16, 3), unit_rows(700, 16, 4)
    vectors[[5, 900, 2_999]] = vectors[17]
    for asked, same in ((vectors, True), (queries, False)):
        here = find_nearest(asked, vectors, 7, same=same)
        there = find_nearest(asked, vectors, 7, same=same, answer=ray_engine.answer)
        assert np.array_equal(here.rows, there.rows)
        assert np.array_equal(here.similarity, there.similarity)
    with pytest.raises(ValueError, match="15 and of 16 dimensions"):
        find_nearest(queries[:, :15], vectors, 7, answer=ray_engine.answer)


def test_killed_workers_change_nothing(ray_engine, unit_rows, killer, monkeypatch, tmp_path):
    """Processes are killed while they compare; their tiles are compared again, and no other."""
    monkeypatch.setattr(join, "TILE_ROWS", 2_048)
    vectors = unit_rows(12_000, 24, 5)
    here = join.find_pairs(vectors, 0.55)
    written = []
    note = FinishedOnDisk.note

    def noted(store, entry):
        note(store, entry)
        written.append((entry["row"], entry["column"]))
        if len(written) in (2, 6, 11):
            killer.kill("_compare_tile")

    monkeypatch.setattr(FinishedOnDisk, "note", noted)
    compare = ray_engine.compare
    there = join.find_pairs(vectors, 0.55, folder=tmp_path / "tiles", compare=compare)
    assert len(killer.killed) == 3
    assert same_pairs(here, there)
    assert here.certificate == there.certificate
    assert len(written) == len(set(written)) == 21


@dataclass
class _Numbers:
    left: list[int]
    put: list[int] = field(default_factory=list)

    def take(self, machine):
        del machine
        return self.left.pop(0) if self.left else None

    def put_back(self, unit):
        self.put.append(unit)
        self.left.append(unit)


def _dies_at_seven(number):
    import os

    if number == 7:
        os._exit(1)
    return number * number


@pytest.mark.usefixtures("on_ray")
def test_what_always_kills_is_given_up():
    """A unit that ends every process is tried a few times, then named; others get done."""
    import ray

    task = ray.remote(_dies_at_seven).options(num_cpus=1, max_retries=0)
    numbers = _Numbers(list(range(10)))
    work = Tasks(Cluster(2), numbers, lambda number, _: task.remote(number), "number {}".format)
    done = []
    with pytest.raises(EngineError, match=f"number 7 failed {ATTEMPTS} times"):
        done.extend(iter(work.run().__next__, None))
    assert numbers.put.count(7) == ATTEMPTS - 1


def _fails(number):
    raise ZeroDivisionError(number)


@pytest.mark.usefixtures("on_ray")
def test_errors_of_the_work_come_out_as_they_are():
    """What fails here fails there, and is not tried again."""
    import ray

    task = ray.remote(_fails).options(num_cpus=1, max_retries=0)
    work = Tasks(Cluster(2), _Numbers([3]), lambda n, _: task.remote(n), str)
    with pytest.raises(ZeroDivisionError):
        list(work.run())


@pytest.mark.usefixtures("on_ray")
def test_a_cluster_without_cores_is_no_answer(monkeypatch):
    """Work that nobody can do is not taken for done."""
    monkeypatch.setattr("sbert_cluster.engines.ray.tasks._PATIENCE_S", 1.5)
    nobody = Cluster(0)
    assert not nobody.machines
    with pytest.raises(EngineError, match="no machine of the cluster has offered a core"):
        list(Tasks(nobody, _Numbers([3]), lambda *_: None, str).run())
