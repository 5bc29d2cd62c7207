"""Tiny models, the reference, and texts of every kind."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.options import EncodeOptions
from sbert_cluster.types import Embeddings, Vectors

MakeModel = Callable[..., Path]
Reference = Callable[..., Vectors]
Encode = Callable[..., Embeddings]

HERE = Path(__file__).parent
SAMPLE = HERE.parent.parent / "sample_data" / "questions.csv"


def _load_make_models() -> ModuleType:
    # The tests are no package, so that a neighbouring file is imported by its path.
    spec = importlib.util.spec_from_file_location("make_models", HERE / "make_models.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_models() -> ModuleType:
    """The module that makes tiny checkpoints."""
    return _load_make_models()


@pytest.fixture(scope="session")
def make_model(make_models: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """A function that makes a tiny model from the fields of a recipe; do not change its files."""
    root = tmp_path_factory.mktemp("models")
    made: dict[Any, Path] = {}

    def make(*, plain: bool = False, **fields: Any) -> Path:
        recipe = make_models.Recipe(**fields)
        if (recipe, plain) not in made:
            folder = root / f"{recipe.family}-{len(made)}"
            (make_models.make_plain if plain else make_models.make_model)(recipe, folder)
            made[recipe, plain] = folder
        return made[recipe, plain]

    return make


@pytest.fixture(scope="session")
def reference() -> Reference:
    """A function that encodes with sentence-transformers, unit vectors."""
    from sentence_transformers import SentenceTransformer

    def encode(folder: Path, texts: list[str], **options: Any) -> Vectors:
        model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        return model.encode(
            texts, normalize_embeddings=True, show_progress_bar=False, batch_size=32, **options
        )

    return encode


@pytest.fixture(scope="session")
def encode() -> Encode:
    """A function that encodes with a model folder, without a cache unless told otherwise."""

    def run(folder: Path | str, texts: list[str], **options: Any) -> Embeddings:
        options = {"use_cache": False, "device": "cpu", **options}
        return Encoder.open(EncodeOptions(model=str(folder), **options)).encode(texts)

    return run


@pytest.fixture(scope="session")
def random_texts(make_models: ModuleType) -> list[str]:
    """80 texts from nothing to twice as long as the tiny models read."""
    rng = np.random.default_rng(7)
    short = ["", " ", "a", "\x00\x1f", "é", "ΟΔΟΣ", "İSTANBUL", "[SEP] <s> [MASK] </s>"]
    return [*short, *make_models.random_texts(rng, 72, 40)]


@pytest.fixture(scope="session")
def mixed_texts() -> list[str]:
    """2,000 texts of mixed length, language and emptiness."""
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        questions = [row["question"] for row in csv.DictReader(file)]
    rng = np.random.default_rng(11)
    words = " ".join(
        (
            "パスワード を 忘れました 。 東京 ひらがな 漢字かな交じり文 ﾊﾝｶｸ",
            "كيف يمكنني تغيير كلمة المرور الخاصة بي؟ مُدَرِّسَة",
            "🙂 👩‍💻 🏳️‍🌈 👍🏽 naïve Ünïcödé Σίσυφος İstanbul пароль 한국어 हिन्दी ไทย ﬁne ℌ",
            "the of jacket refund where is my parcel 12,50 € x_y-z http://a.b/c?d=e",
        )
    ).split()
    mixed = [" ".join(rng.choice(words, size=rng.integers(1, 9))) for _ in range(720)]
    long = [" ".join(rng.choice(words, size=240)) for _ in range(8)]
    odd = ["", " ", "\n\t ", "\x00", "\x07\x1b[31m\x7f", "\u200b", "\u202e", "\ufeff", "\ufffd"]
    single = ["a", "?", "é", "あ", "م", "🙂", "１", "\u0301", "Z" * 300, "ab" * 2000]
    texts = [*questions, *odd, *single, *long, *mixed]
    return [texts[i] for i in rng.permutation(len(texts))[:2000]]


@pytest.fixture
def edited(make_model: MakeModel, tmp_path: Path) -> Callable[..., Path]:
    """A function that copies a tiny model, for tests that damage it."""

    def copy(*, plain: bool = False, **fields: Any) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(make_model(plain=plain, **fields), folder)
        return folder

    return copy


@pytest.fixture(scope="session")
def start_worker() -> Callable[..., subprocess.Popen[str]]:
    """A function that starts a process which encodes; see ``encode_worker.py``."""

    def start(**job: Any) -> subprocess.Popen[str]:
        command = [sys.executable, str(HERE / "encode_worker.py"), json.dumps(job, default=str)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])}
        return subprocess.Popen(
            command,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return start
