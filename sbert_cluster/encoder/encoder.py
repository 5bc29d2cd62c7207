"""Texts → unit vectors: distinct texts once, known ones from the cache, the rest in batches."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.encoder.batching import batches, windows
from sbert_cluster.encoder.cache import EmbeddingCache, cache_path, default_cache_dir
from sbert_cluster.encoder.checkpoint import Checkpoint, open_checkpoint
from sbert_cluster.encoder.device import Place, choose_place
from sbert_cluster.encoder.generic import GenericBody
from sbert_cluster.encoder.packed import PackedBody
from sbert_cluster.encoder.tokens import Tokenizer
from sbert_cluster.encoder.weights import is_supported
from sbert_cluster.options import EncodeOptions
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Embeddings, ModelFingerprint, Vectors

DEFAULT_BATCH_TOKENS = {"cpu": 2_048, "cuda": 65_536, "mps": 16_384}
"""Tokens in one forward pass; on a CPU more than this falls out of its caches."""


@dataclass
class Encoder:
    """A model, ready to encode.

    Its weights are loaded when the first text is not in the cache, so that a repeated run needs
    neither torch's nor the model's start-up time.
    """

    checkpoint: Checkpoint
    """The model."""
    options: EncodeOptions
    """How to encode."""

    def __post_init__(self) -> None:
        self._place: Place | None = None
        self._body: PackedBody | GenericBody | None = None
        self._tokenizer: Tokenizer | None = None

    @classmethod
    def open(cls, options: EncodeOptions) -> Encoder:
        """Open the model that the options name.

        Raises:
            ModelError: If it cannot be found, trusted or read.
        """
        return cls(open_checkpoint(options.model, options.prompt), options)

    @property
    def fingerprint(self) -> ModelFingerprint:
        """What the vectors depend on."""
        return self.checkpoint.fingerprint

    @property
    def place(self) -> Place:
        """Device and number format, chosen on first use.

        Raises:
            UsageError: If the device asked for is absent.
        """
        if self._place is None:
            self._place = choose_place(self.options.device, self.options.precision)
        return self._place

    def encode(self, texts: Sequence[str], progress: Progress = silent) -> Embeddings:
        """Encode texts.

        Args:
            texts: n texts; identical ones are encoded once. Empty ones get the model's vector of
                an empty text: leave them out beforehand where they should be similar to nothing.
            progress: Told the number of texts done.

        Returns:
            Unit vectors, float32[n, dimensions], the same whatever the batches (to 1e-6 in fp32).

        Raises:
            ModelError: If the weights cannot be loaded.
            RunFolderError: If the cache cannot be used.
        """
        first: dict[str, int] = {}
        index = np.fromiter((first.setdefault(t, len(first)) for t in texts), np.int64, len(texts))
        distinct = self._encode_distinct(list(first), progress)
        if len(first) == len(texts):
            return distinct
        return Embeddings(distinct.vectors[index], self.fingerprint, distinct.truncated[index])

    def count_cached(self, texts: Sequence[str]) -> int:
        """How many of the distinct texts need no encoding; makes no cache where there is none."""
        folder = self.options.cache_dir or default_cache_dir()
        if not cache_path(folder, self.fingerprint, self.place.precision).exists():
            return 0
        with self._open_cache() as cache:
            return cache.count_known(list(dict.fromkeys(texts))) if cache else 0

    def _encode_distinct(self, texts: list[str], progress: Progress) -> Embeddings:
        with self._open_cache() as cache:
            vectors = self._allocate(len(texts))
            truncated = np.zeros(len(texts), np.bool_)
            if cache:
                found = cache.load(texts, vectors, truncated)
            else:
                found = np.zeros(len(texts), np.bool_)
            done = int(found.sum())
            progress("encoding", done, len(texts), "texts")
            for rows, made, cut in self._forward(texts, np.flatnonzero(~found)):
                vectors[rows], truncated[rows] = made, cut
                if cache:
                    cache.save([texts[row] for row in rows], made, cut)
                done += len(rows)
                progress("encoding", done, len(texts), "texts")
        return Embeddings(vectors, self.fingerprint, truncated)

    def _forward(
        self, texts: list[str], rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], Vectors, NDArray[np.bool_]]]:
        """Encode the given rows; yields each finished batch as rows, vectors and truncation."""
        if not len(rows):
            return
        body, tokenizer = self._loaded()
        default = DEFAULT_BATCH_TOKENS[self.place.device.partition(":")[0]]
        budget = self.options.batch_tokens or default
        missing = [texts[row] for row in rows]
        for window in windows(missing):
            tokens = tokenizer(missing[window])
            for batch in batches(tokens.lengths, budget):
                vectors = body([tokens.ids[i] for i in batch], tokenizer.skipped)
                yield rows[window][batch], vectors.numpy(), tokens.truncated[batch]

    def _loaded(self) -> tuple[PackedBody | GenericBody, Tokenizer]:
        if self._body is None or self._tokenizer is None:
            self._tokenizer = Tokenizer(self.checkpoint)
            kind = PackedBody if is_supported(self.checkpoint) else GenericBody
            self._body = kind(self.checkpoint, self.place)
        return self._body, self._tokenizer

    def _allocate(self, count: int) -> Vectors:
        shape = (count, self.fingerprint.dimensions)
        if count <= self.options.max_rows_in_memory:
            return np.empty(shape, np.float32)
        # The file has no name any more, so that it goes away with the process, even a killed one.
        with tempfile.TemporaryFile(
            dir=self._cache_dir if self.options.use_cache else None
        ) as file:
            return np.memmap(file, np.float32, "w+", shape=shape)

    @property
    def _cache_dir(self) -> str:
        folder = self.options.cache_dir or default_cache_dir()
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    @contextmanager
    def _open_cache(self) -> Iterator[EmbeddingCache | None]:
        if not self.options.use_cache:
            yield None
            return
        folder = self.options.cache_dir or default_cache_dir()
        # The format is part of the key: vectors of bf16 must not answer a run in fp32.
        with EmbeddingCache(folder, self.fingerprint, self.place.precision) as cache:
            yield cache
