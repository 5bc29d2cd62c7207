"""Shared by the tests of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sbert_cluster.corpus.reading import read_corpus
from sbert_cluster.options import ReadOptions
from sbert_cluster.types import Corpus

Reader = Callable[..., Corpus]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Write bytes or a string to a file of the given name and read it."""

    def write_and_read(content: bytes | str, name: str = "in.csv", **options: object) -> Corpus:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_corpus([path], ReadOptions(**options))

    return write_and_read


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for examples of hypothesis, which overwrite each other."""
    return tmp_path_factory.mktemp("examples")
