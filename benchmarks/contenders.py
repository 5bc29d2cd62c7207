"""Who takes part: sentence-transformers and this project, with the same model and no cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.harness import say
from sbert_cluster.errors import SbertClusterError
from sbert_cluster.options import DEFAULT_MODEL, EncodeOptions, Precision
from sbert_cluster.types import Vectors

PEER = "sentence-transformers"
OURS = "sbert-cluster"
_WARM_UP = ("A short text.", "A somewhat longer text, so that there are two lengths at least.")
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}

Encode = Callable[[Sequence[str]], Vectors]
"""Texts → unit vectors, float32[n, dimensions]."""


@dataclass(frozen=True)
class Contender:
    """A program with its settings, not loaded yet; it can be sent to another process."""

    maker: str
    precision: str
    batch_size: int | None = None
    """Texts in a batch; None: the program decides."""
    device: str = "cpu"

    @property
    def name(self) -> str:
        """Unique among the contenders."""
        batch = f", batch {self.batch_size}" if self.batch_size else ""
        return f"{self.maker} {self.precision}{batch}"

    def load(self) -> Loaded:
        """Load the model and encode two texts, so that nothing is left to be set up.

        Raises:
            SbertClusterError: If the machine or this version lacks the number format.
        """
        if self.maker == PEER:
            loaded = Loaded(self, _peer(self), self.precision)
            loaded.encode(_WARM_UP)
            return loaded
        encoder = open_encoder(self.precision, self.device)
        encoder.encode(_WARM_UP)
        return Loaded(
            self, lambda texts: encoder.encode(texts).vectors, str(encoder.place.precision)
        )


@dataclass(frozen=True)
class Loaded:
    """A contender, ready."""

    contender: Contender
    encode: Encode
    precision: str
    """The number format in use, never ``auto``."""


def all_contenders(device: str) -> list[Contender]:
    """Everybody; the peer's default settings come first."""
    half = ("bf16",) if device == "cpu" else ("bf16", "fp16")
    sizes = (32, 128) if device == "cpu" else (32, 128, 512)
    peers = [Contender(PEER, p, size, device) for p in ("fp32", *half) for size in sizes]
    formats = ("fp32", *half, "int8", "auto")
    return [*peers, *(Contender(OURS, precision, None, device) for precision in formats)]


def load_all(contenders: Sequence[Contender]) -> tuple[list[Loaded], list[str]]:
    """Load contenders; those that cannot take part are left out, and noted with the reason."""
    loaded, notes = [], []
    for contender in contenders:
        try:
            loaded.append(contender.load())
        except SbertClusterError as error:
            notes.append(f"{contender.name} is left out: {error.problem}.")
            say(notes[-1])
    return loaded, notes


def open_encoder(precision: str, device: str) -> Any:
    """This project's encoder with the default model and no cache."""
    from sbert_cluster.encoder.encoder import Encoder

    options = EncodeOptions(
        model=DEFAULT_MODEL, device=device, precision=Precision(precision), use_cache=False
    )
    return Encoder.open(options)


def _peer(contender: Contender) -> Encode:
    model = _peer_model(contender.precision, contender.device)

    def encode(texts: Sequence[str]) -> Vectors:
        vectors = model.encode(
            list(texts), batch_size=contender.batch_size, show_progress_bar=False
        )
        return np.asarray(vectors, np.float32)

    return encode


@lru_cache
def _peer_model(precision: str, device: str) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    from sbert_cluster.encoder.locate import locate_model

    logging.disable_progress_bar()
    dtype = getattr(torch, _DTYPES[precision])
    model = SentenceTransformer(
        str(locate_model(DEFAULT_MODEL)),
        device=device,
        local_files_only=True,
        model_kwargs={"torch_dtype": dtype},
    )
    held = {parameter.dtype for parameter in model.parameters()}
    if held != {dtype}:
        raise RuntimeError(f"{PEER} holds {held}, not {dtype}: its options have changed")
    return model
