"""Stages that work at the same time: order, bounds, errors, interruptions, and no thread left."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time

import numpy as np
import pytest

from sbert_cluster.encoder.cache import cache_files
from sbert_cluster.encoder.conveyor import ahead, behind, spread
from sbert_cluster.encoder.device import Place
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.errors import ModelError, RunFolderError
from sbert_cluster.options import EncodeOptions, Precision

TEXTS = [f"parcel {number} " * (1 + number % 7) for number in range(200)]


@pytest.fixture(autouse=True)
def _no_thread_left():
    """Every thread of a stage has ended when the test has."""
    yield
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("ahead", "spread", "behind"))]


def fails_at(number, error):
    yield from range(number)
    raise error


def nothing(item):
    """Do nothing."""


class TestAhead:
    def test_items_come_in_order(self):
        for count in (0, 1, 2, 50):
            with ahead(iter(range(count))) as items:
                assert list(items) == list(range(count))

    def test_first_item_is_begun_at_once_and_one_more_at_a_time(self):
        begun, made = threading.Semaphore(0), []

        def items():
            for number in range(10):
                made.append(number)
                begun.release()
                yield number

        with ahead(items()) as coming:
            begun.acquire(timeout=10)
            assert made == [0]
            for number in coming:
                if number < 9:
                    assert begun.acquire(timeout=10)
                # The item in hand and the one after it, never more.
                assert len(made) <= number + 2

    def test_error_comes_after_the_items_before_it(self):
        seen = []
        with pytest.raises(ZeroDivisionError), ahead(fails_at(3, ZeroDivisionError())) as items:
            seen.extend(iter(items.__next__, None))
        assert seen == [0, 1, 2]

    def test_runs_beside_the_consumer(self):
        mine = threading.get_ident()
        with ahead(threading.get_ident() for _ in range(3)) as items:
            assert mine not in set(items)


class TestSpread:
    @pytest.mark.parametrize("workers", [1, 2, 3])
    def test_results_keep_the_order_of_the_items(self, workers):
        def work(item):
            time.sleep(0.002 * (item % 3))
            return item * item

        with spread(iter(range(40)), [work] * workers) as results:
            assert list(results) == [(item, item * item) for item in range(40)]

    def test_workers_work_at_once_each_on_one_item(self):
        meeting = threading.Barrier(2, timeout=10)
        busy = [threading.Lock(), threading.Lock()]

        def make(number):
            def work(item):
                assert busy[number].acquire(blocking=False)
                meeting.wait()
                busy[number].release()
                return number, item

            return work

        with spread(iter(range(20)), [make(0), make(1)]) as results:
            assert {worker for _, (worker, _) in results} == {0, 1}

    @pytest.mark.parametrize("workers", [1, 2])
    def test_error_of_a_worker_comes_out(self, workers):
        with (
            pytest.raises(ZeroDivisionError),
            spread(iter([3, 2, 1, 0, 1]), [lambda item: 1 // item] * workers) as results,
        ):
            list(results)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_items_are_taken_as_they_are_needed(self, workers):
        taken = []
        items = (taken.append(item) or item for item in range(100))
        with spread(items, [nothing] * workers) as results:
            next(results)
            assert len(taken) <= 2 * workers


class TestBehind:
    def test_items_are_put_away_in_order_before_they_are_handed_on(self):
        away = []
        with behind(range(50), away.append) as items:
            for number in items:
                assert away == list(range(number + 1))
        assert away == list(range(50))

    def test_error_stops_the_work_within_two_items(self):
        made = []

        def put_away(item):
            if item == 3:
                raise RunFolderError("full")

        items = (made.append(item) or item for item in range(50))
        with pytest.raises(RunFolderError, match="full"), behind(items, put_away) as handed_on:
            list(handed_on)
        assert made == [0, 1, 2, 3, 4]

    def test_what_is_on_its_way_arrives_when_the_source_fails(self):
        away = []

        def slowly(item):
            time.sleep(0.05)
            away.append(item)

        with (
            pytest.raises(KeyboardInterrupt),
            behind(fails_at(2, KeyboardInterrupt()), slowly) as items,
        ):
            list(items)
        assert away == [0, 1]

    def test_what_is_on_its_way_arrives_when_the_consumer_fails(self):
        away = []
        with pytest.raises(ZeroDivisionError), behind(range(9), away.append) as items:
            list(map((1).__floordiv__, items))
        assert away == [0]


def test_all_stages_end_whichever_fails():
    """With three stages in a row, an error in any of them comes out and ends them all."""

    def broken(item):
        raise OSError(str(item))

    for source, work, store, error in [
        (fails_at(5, ValueError()), [nothing, nothing], nothing, ValueError),
        (iter(range(9)), [broken, nothing], nothing, OSError),
        (iter(range(9)), [nothing, nothing], broken, OSError),
    ]:
        with (
            pytest.raises(error),
            ahead(source) as items,
            spread(items, work) as results,
            behind(results, store) as done,
        ):
            list(done)


def open_encoder(folder, cache, **options):
    options = {"cache_dir": cache, "batch_tokens": 64, "device": "cpu", **options}
    return Encoder.open(EncodeOptions(model=str(folder), **options))


@pytest.mark.parametrize("family", ["bert", "mpnet", "modernbert"])
def test_two_places_give_the_vectors_of_one(make_model, encode, tmp_path, family):
    """With two places the work is shared, and each text keeps its row."""
    wanted = encode(make_model(family=family), TEXTS)
    encoder = open_encoder(make_model(family=family), tmp_path)
    encoder._places = (Place("cpu", Precision.FP32, "one"), Place("cpu", Precision.FP32, "two"))
    told = []
    embeddings = encoder.encode(TEXTS, lambda *news: told.append(news[1]))
    assert len(encoder._bodies) == 2
    np.testing.assert_allclose(embeddings.vectors, wanted.vectors, atol=1e-6)
    assert told == sorted(told)
    assert told[-1] == len(TEXTS)
    assert encoder.count_cached(TEXTS) == len(TEXTS)


def test_what_is_reported_is_in_the_cache(make_model, tmp_path):
    """At every report the cache holds the reported texts, and at most one batch more."""
    encoder = open_encoder(make_model(), tmp_path, batch_tokens=1)

    def check(*news):
        done = news[1]
        assert done <= encoder.count_cached(TEXTS[:50]) <= done + 1

    encoder.encode(TEXTS[:50], check)


def test_interrupted_run_keeps_what_it_reported(make_model, encode, tmp_path):
    """Ctrl-C closes the cache cleanly; the next run goes on from there."""

    def interrupt(*news):
        if news[1] >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_encoder(make_model(), tmp_path).encode(TEXTS, interrupt)
    (file,) = cache_files(tmp_path)
    assert 20 <= file.vectors < len(TEXTS)
    assert list(tmp_path.iterdir()) == [file.path]
    told = []
    resumed = open_encoder(make_model(), tmp_path)
    vectors = resumed.encode(TEXTS, lambda *news: told.append(news[1])).vectors
    assert told[0] == file.vectors
    np.testing.assert_allclose(vectors, encode(make_model(), TEXTS).vectors, atol=1e-6)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C otherwise")
def test_interrupted_process_ends_by_itself(make_model, start_worker, tmp_path):
    """SIGINT in the middle ends the process, and the cache holds what was reported."""
    texts = [f"parcel {number} " * (1 + number % 5) for number in range(20_000)]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    worker = start_worker(
        options={"model": make_model(), "cache_dir": tmp_path / "cache", "batch_tokens": 1},
        texts=tmp_path / "texts.json",
        output=tmp_path / "never.npy",
    )
    assert worker.stdout
    for line in worker.stdout:
        if int(line) >= 25:
            break
    worker.send_signal(signal.SIGINT)
    rest, errors = worker.communicate(timeout=30)
    assert worker.returncode != 0
    assert "KeyboardInterrupt" in errors
    reported = int([line, *rest.splitlines()][-1])
    (file,) = cache_files(tmp_path / "cache")
    assert 25 <= reported <= file.vectors <= reported + 1 < len(texts)


def test_error_of_the_cache_while_encoding_is_told(make_model, tmp_path):
    """A cache that breaks while vectors are being saved ends in the error that names it."""
    encoder = open_encoder(make_model(), tmp_path)

    def break_it(*news):
        if 0 < news[1] < 100:
            (file,) = cache_files(tmp_path)
            with sqlite3.connect(file.path) as db:
                db.execute("DROP TABLE IF EXISTS embeddings")
            db.close()

    with pytest.raises(RunFolderError, match=r"\.sqlite cannot be used") as caught:
        encoder.encode(TEXTS, break_it)
    assert "--no-cache" in caught.value.remedy


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")
def test_full_disk_is_told(make_model, start_worker, tmp_path):
    """Where nothing more can be written, the process ends with the error that names the cache."""
    texts = [f"parcel {number} " * (1 + number % 5) for number in range(20_000)]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    worker = start_worker(
        options={"model": make_model(), "cache_dir": tmp_path / "cache", "batch_tokens": 512},
        texts=tmp_path / "texts.json",
        output=tmp_path / "never.npy",
        largest_file=300_000,
    )
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == 1
    assert "RunFolderError: the embedding cache" in errors.splitlines()[-1]


def test_model_that_cannot_be_loaded_is_told(edited, tmp_path):
    """Weights that do not fit end the run, although texts are being tokenised by then."""
    folder = edited()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"encoder\.layer\.2"):
        open_encoder(folder, tmp_path).encode(TEXTS)
