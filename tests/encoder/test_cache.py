"""The embedding cache: what it answers, what it survives, and what it keeps apart."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from sbert_cluster.encoder.cache import (
    EmbeddingCache,
    cache_files,
    cache_path,
    clear_cache,
    default_cache_dir,
)
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.errors import RunFolderError
from sbert_cluster.options import EncodeOptions, Precision

TEXTS = ["where is my parcel", "a", "", "how long is the guarantee", "b " * 99]


def _open(folder: Path, cache: Path, **options: object) -> Encoder:
    return Encoder.open(EncodeOptions(model=str(folder), cache_dir=cache, device="cpu", **options))


def _change(path: Path, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(statement, values)
        db.commit()


def test_second_run_encodes_nothing(make_model, tmp_path):
    """A second encoder answers from the cache alone, and its weights stay on disk."""
    first = _open(make_model(), tmp_path).encode(TEXTS)
    told = []
    second = _open(make_model(), tmp_path)
    again = second.encode(TEXTS, lambda *news: told.append(news))
    assert told == [("encoding", len(TEXTS), len(TEXTS), "texts")]
    assert not second._bodies
    np.testing.assert_array_equal(again.vectors, first.vectors)
    np.testing.assert_array_equal(again.truncated, first.truncated)
    assert again.truncated.tolist() == [False, False, False, False, True]


def test_only_new_texts_are_encoded(make_model, encode, tmp_path):
    """Known texts come from the cache and new ones from the model, each in its row."""
    _open(make_model(), tmp_path).encode(TEXTS[1:3])
    told = []
    encoder = _open(make_model(), tmp_path)
    assert encoder.count_cached([*TEXTS, *TEXTS]) == 2
    embeddings = encoder.encode(TEXTS, lambda *news: told.append(news[1]))
    assert told[0] == 2
    assert told[-1] == len(TEXTS)
    wanted = encode(make_model(), TEXTS)
    np.testing.assert_allclose(embeddings.vectors, wanted.vectors, atol=1e-6)


def test_many_texts_are_looked_up(make_model, tmp_path):
    """More texts than one query takes are all found again, in any order."""
    texts = [f"parcel {number}" for number in range(1203)]
    first = _open(make_model(), tmp_path).encode(texts)
    second = _open(make_model(), tmp_path)
    again = second.encode(texts[::-1])
    assert not second._bodies
    np.testing.assert_array_equal(again.vectors[::-1], first.vectors)


def test_no_cache_leaves_no_file(make_model, tmp_path):
    """Without the cache nothing is looked up and nothing is written."""
    encoder = _open(make_model(), tmp_path / "cache", use_cache=False)
    encoder.encode(TEXTS)
    assert encoder.count_cached(TEXTS) == 0
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({}, {"prompt": "query: "}),
        ({}, {"precision": Precision.BF16}),
        ({"pooling": ("cls",)}, {}),
        ({"pooling": ("max", "mean")}, {}),
        ({"family": "distilbert"}, {}),
        ({"max_seq_length": 12}, {}),
        ({"dense": ("Tanh",)}, {}),
    ],
    ids=["prompt", "precision", "pooling", "pooling order", "model", "length", "dense"],
)
def test_what_shapes_a_vector_has_its_own_file(make_model, encode, tmp_path, fields, options):
    """Vectors made another way are neither answered from the cache nor mixed into it."""
    both = len(fields.get("pooling", ())) > 1
    base = make_model(pooling=("mean", "max") if both else ("mean",))
    _open(base, tmp_path).encode(TEXTS)
    embeddings = _open(make_model(**fields), tmp_path, **options).encode(TEXTS)
    wanted = encode(make_model(**fields), TEXTS, **options)
    np.testing.assert_allclose(embeddings.vectors, wanted.vectors, atol=1e-6)
    assert [file.vectors for file in cache_files(tmp_path)] == [len(TEXTS)] * 2


def test_same_model_elsewhere_has_the_same_file(make_model, edited, tmp_path):
    """The cache goes by what is in the model's files, not by where they lie."""
    _open(make_model(), tmp_path / "cache").encode(TEXTS)
    assert _open(edited(), tmp_path / "cache").count_cached(TEXTS) == len(TEXTS)


@pytest.mark.parametrize("file", ["tokenizer.json", "config.json", "2_Dense/config.json"])
def test_changed_files_are_another_model(edited, tmp_path, file):
    """A change to the tokenizer, the configuration or a layer makes another key."""
    folder = edited(dense=("Tanh",))
    before = _open(folder, tmp_path / "cache").fingerprint.key
    text = (folder / file).read_text(encoding="utf-8")
    changed = text.replace('"lowercase": true', '"lowercase": false')
    changed = changed.replace('"gelu"', '"relu"').replace("Tanh", "Sigmoid")
    assert changed != text
    (folder / file).write_text(changed, encoding="utf-8")
    assert _open(folder, tmp_path / "cache").fingerprint.key != before


def test_changed_settings_of_an_old_tokenizer_are_another_model(edited, encode, tmp_path):
    """Where there is only vocab.txt, tokenizer_config.json shapes the vectors, and the key."""
    folder = edited()
    vocab = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    words = sorted(vocab, key=vocab.__getitem__)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    before = _open(folder, tmp_path / "cache").encode(["WHERE is it"]).vectors
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["do_lower_case"] = False
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    after = _open(folder, tmp_path / "cache").encode(["WHERE is it"]).vectors
    np.testing.assert_array_equal(after, encode(folder, ["WHERE is it"]).vectors)
    assert np.abs(after - before).max() > 1e-3


@pytest.mark.parametrize(
    "blob",
    [
        np.full(32, np.nan, np.float32).tobytes(),
        np.full(32, np.inf, np.float32).tobytes(),
        np.zeros(31, np.float32).tobytes(),
        b"",
        b"abcde",
        "text instead of bytes",
        17,
    ],
    ids=["nan", "inf", "short", "empty", "odd", "text", "number"],
)
def test_mangled_vectors_are_encoded_again(make_model, encode, tmp_path, blob):
    """A vector that cannot be one is as good as absent, and is repaired."""
    _open(make_model(), tmp_path).encode(TEXTS)
    (file,) = cache_files(tmp_path)
    _change(file.path, "UPDATE embeddings SET vector = ?", blob)
    embeddings = _open(make_model(), tmp_path).encode(TEXTS)
    wanted = encode(make_model(), TEXTS)
    np.testing.assert_allclose(embeddings.vectors, wanted.vectors, atol=1e-6)
    repaired = _open(make_model(), tmp_path)
    np.testing.assert_array_equal(repaired.encode(TEXTS).vectors, embeddings.vectors)
    assert not repaired._bodies


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database " * 500)


def _torn(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


def _other_table(path: Path) -> None:
    _change(path, "DROP TABLE embeddings")
    _change(path, "CREATE TABLE embeddings (something)")


@pytest.mark.parametrize("damage", [_garbage, _torn, _other_table])
def test_corrupt_file_is_told_with_a_way_out(make_model, tmp_path, damage):
    """A file that is no cache ends in an error that names it and --no-cache."""
    texts = [f"parcel {number}" for number in range(200)]
    _open(make_model(), tmp_path).encode(texts)
    (file,) = cache_files(tmp_path)
    damage(file.path)
    with pytest.raises(RunFolderError, match=file.path.name) as caught:
        _open(make_model(), tmp_path).encode(texts)
    assert "--no-cache" in caught.value.remedy
    with pytest.raises(RunFolderError):
        _open(make_model(), tmp_path).count_cached(texts)
    assert clear_cache(tmp_path) > 0
    assert len(_open(make_model(), tmp_path).encode(texts)) == 200


@pytest.mark.parametrize("rows", [1, 1000], ids=["file", "memory"])
def test_unwritable_folder_is_told_with_a_way_out(make_model, tmp_path, rows):
    """A cache folder that cannot be made ends in an error that names --no-cache."""
    (tmp_path / "file").write_text("in the way")
    encoder = _open(make_model(), tmp_path / "file" / "cache", max_rows_in_memory=rows)
    with pytest.raises(RunFolderError, match="file") as caught:
        encoder.encode(TEXTS)
    assert "--no-cache" in caught.value.remedy


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_read_only_folder_is_told_with_a_way_out(make_model, tmp_path):
    """A cache folder without write permission ends in an error that names --no-cache."""
    tmp_path.chmod(0o500)
    with pytest.raises(RunFolderError) as caught:
        _open(make_model(), tmp_path).encode(TEXTS)
    tmp_path.chmod(0o700)
    assert "--no-cache" in caught.value.remedy


def test_cache_files_and_clear_cache(make_model, tmp_path):
    """The files are listed with size and count, and clearing leaves foreign files alone."""
    assert cache_files(tmp_path / "absent") == []
    assert clear_cache(tmp_path / "absent") == 0
    _open(make_model(), tmp_path).encode(TEXTS)
    _open(make_model(), tmp_path, prompt="query: ").encode(TEXTS[:2])
    _change(tmp_path / "diary.sqlite", "CREATE TABLE embeddings (day)")
    (tmp_path / "notes.txt").write_text("mine")
    files = cache_files(tmp_path)
    assert sorted(file.vectors for file in files) == [2, 5]
    assert all(file.bytes >= 4096 and file.path.parent == tmp_path for file in files)
    assert clear_cache(tmp_path) == sum(file.bytes for file in files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diary.sqlite", "notes.txt"]


def test_cache_folder_is_the_one_in_the_environment(make_model, tmp_path, monkeypatch):
    """SBERT_CLUSTER_CACHE names the folder, and XDG_CACHE_HOME its parent."""
    monkeypatch.setenv("SBERT_CLUSTER_CACHE", str(tmp_path / "mine"))
    Encoder.open(EncodeOptions(model=str(make_model()))).encode(["a"])
    assert [file.vectors for file in cache_files(tmp_path / "mine")] == [1]
    monkeypatch.delenv("SBERT_CLUSTER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert default_cache_dir() == tmp_path / "sbert-cluster"


def test_file_can_be_used_twice_in_one_process(make_model, tmp_path):
    """Two open caches on one file see each other's vectors."""
    model = _open(make_model(), tmp_path).fingerprint
    vectors, cut = np.eye(2, 32, dtype=np.float32), np.array([True, False])
    with (
        EmbeddingCache(tmp_path, model, Precision.FP32) as one,
        EmbeddingCache(tmp_path, model, Precision.FP32) as two,
    ):
        one.save(["x", "y"], vectors, cut)
        seen, marks = np.zeros((3, 32), np.float32), np.zeros(3, np.bool_)
        assert two.load(["y", "z", "x"], seen, marks).tolist() == [True, False, True]
    np.testing.assert_array_equal(seen[[2, 0]], vectors)
    assert marks.tolist() == [False, False, True]


def test_file_that_is_being_set_up_is_waited_for(make_model, tmp_path):
    """While another process sets the new file up, opening it waits and does not fail."""
    model = _open(make_model(), tmp_path).fingerprint
    path = cache_path(tmp_path, model, Precision.FP32)
    _change(path, "CREATE TABLE other (something)")
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as other:
        # With a writer in a file that has no write-ahead log yet, SQLite refuses at once.
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, other.rollback)
        release.start()
        with EmbeddingCache(tmp_path, model, Precision.FP32) as cache:
            assert cache.count_known(["a"]) == 0
        release.join()


def test_two_processes_write_at_once(make_model, start_worker, encode, tmp_path):
    """Two runs on overlapping texts share a cache, and both get the right vectors."""
    texts = [f"parcel {number} " * (1 + number % 5) for number in range(300)]
    shares = [texts[:200], texts[100:][::-1]]
    workers = []
    for number, share in enumerate(shares):
        (tmp_path / f"{number}.json").write_text(json.dumps(share))
        options = {"model": make_model(), "cache_dir": tmp_path / "cache", "batch_tokens": 40}
        job = {"texts": tmp_path / f"{number}.json", "output": tmp_path / f"{number}.npy"}
        workers.append(start_worker(options=options, **job))
    for worker in workers:
        _, errors = worker.communicate(timeout=100)
        assert worker.returncode == 0, errors
    for number, share in enumerate(shares):
        vectors = np.load(tmp_path / f"{number}.npy")
        np.testing.assert_allclose(vectors, encode(make_model(), share).vectors, atol=1e-6)
    assert [file.vectors for file in cache_files(tmp_path / "cache")] == [300]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signal")
def test_killed_process_leaves_its_finished_batches(make_model, start_worker, encode, tmp_path):
    """After SIGKILL the cache holds what was reported, at most one batch more, and goes on."""
    texts = [f"parcel {number} " * (1 + number % 5) for number in range(4000)]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    cache = tmp_path / "cache"
    worker = start_worker(
        options={"model": make_model(), "cache_dir": cache, "batch_tokens": 1},
        texts=tmp_path / "texts.json",
        output=tmp_path / "never.npy",
    )
    assert worker.stdout
    for line in worker.stdout:
        if int(line) >= 25:
            break
    worker.send_signal(signal.SIGKILL)
    rest, errors = worker.communicate(timeout=30)
    reported = int([line, *rest.splitlines()][-1])
    assert worker.returncode == -signal.SIGKILL, errors
    (file,) = cache_files(cache)
    assert 25 <= reported <= file.vectors <= reported + 1 < len(texts)

    told = []
    some = [*texts[:60], *texts[-60:]]
    resumed = _open(make_model(), cache)
    known = resumed.count_cached(some)
    embeddings = resumed.encode(some, lambda *news: told.append(news[1]))
    assert known == told[0] > 0
    np.testing.assert_allclose(embeddings.vectors, encode(make_model(), some).vectors, atol=1e-6)


def test_folder_of_the_cache_can_be_copied(make_model, tmp_path):
    """A finished cache is files alone: copied elsewhere, it answers there."""
    _open(make_model(), tmp_path / "one").encode(TEXTS)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    encoder = _open(make_model(), tmp_path / "two")
    encoder.encode(TEXTS)
    assert not encoder._bodies
