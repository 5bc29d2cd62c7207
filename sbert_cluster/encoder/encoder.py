"""Texts → unit vectors: distinct texts once, known ones from the cache, the rest in batches."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sbert_cluster.encoder.bags import Bags
from sbert_cluster.encoder.batching import batches, windows
from sbert_cluster.encoder.cache import EmbeddingCache, cache_path, default_cache_dir
from sbert_cluster.encoder.checkpoint import Checkpoint, open_checkpoint
from sbert_cluster.encoder.chunks import Batch, Finished, Window, finished
from sbert_cluster.encoder.conveyor import ahead, behind, spread
from sbert_cluster.encoder.device import Place, choose_places
from sbert_cluster.encoder.dimensions import shortened
from sbert_cluster.encoder.generic import GenericBody
from sbert_cluster.encoder.packed import PackedBody
from sbert_cluster.encoder.static import StaticBody
from sbert_cluster.encoder.tokens import FIRST_REACH, Tokenizer
from sbert_cluster.encoder.weights import is_supported
from sbert_cluster.errors import TextError
from sbert_cluster.meter import free_memory_bytes
from sbert_cluster.options import EncodeOptions, LongTexts, Precision
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Embeddings, ModelFingerprint, Vectors

Body = PackedBody | GenericBody | StaticBody
"""What makes vectors of a batch of token numbers."""

_STATIC_TOKENS = 131_072
"""Tokens in one pass of a static model: there is little to compute, so little to hold back."""
_TOKENS_ALONE = 1_024
"""Tokens of the vocabulary that are read at a time."""
_ROWS_COPIED = 65_536
"""Vectors copied at a time, where they may be held in a file."""


class Forward(Protocol):
    """A place where texts go through a model."""

    def __call__(
        self, encoder: Encoder, texts: Sequence[str], rows: NDArray[np.int64]
    ) -> AbstractContextManager[Iterator[tuple[Batch, Vectors]]]:
        """Encode some of the texts.

        Args:
            encoder: The model and its options.
            texts: n texts.
            rows: int64[k]: those that are wanted.

        Yields:
            Batches with their vectors, in the order in which ``encoder`` cuts them.
        """


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
        self._places: tuple[Place, ...] = ()
        self._bodies: list[Body] = []
        self._tokenizer: Tokenizer | None = None

    @classmethod
    def open(cls, options: EncodeOptions) -> Encoder:
        """Open the model that the options name.

        Raises:
            ModelError: If it cannot be found, trusted or read.
            UsageError: If it makes fewer dimensions than the options ask for.
        """
        checkpoint = open_checkpoint(options.model, options.prompt, options.dimensions)
        return cls(checkpoint, options)

    @property
    def fingerprint(self) -> ModelFingerprint:
        """What the vectors depend on."""
        return self.checkpoint.fingerprint

    @property
    def places(self) -> tuple[Place, ...]:
        """Devices that work side by side and their number format, chosen on first use.

        Raises:
            UsageError: If the device asked for is absent.
        """
        if not self._places and self.checkpoint.is_static:
            why = "a static model only looks vectors up and adds them, which is done in fp32"
            self._places = (Place("cpu", Precision.FP32, why),)
        if not self._places:
            self._places = choose_places(self.options.device, self.options.precision)
        return self._places

    @property
    def place(self) -> Place:
        """The first of the places; the others are of the same kind."""
        return self.places[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the model decides where nothing was asked for, a sentence each, for the user."""
        model, notes = self.checkpoint, []
        if model.prompt_name:
            notes.append(
                f"prompt before each text: {model.fingerprint.prompt!r} (the model's "
                f"{model.prompt_name!r}; --prompt names another, --prompt '' none)"
            )
        if self.options.dimensions is None and model.dimensions != model.fingerprint.dimensions:
            notes.append(
                f"vectors: the first {model.fingerprint.dimensions} of {model.dimensions} numbers, "
                f"as the model says (--dimensions {model.dimensions} keeps all)"
            )
        return tuple(notes)

    def encode(
        self,
        texts: Sequence[str],
        progress: Progress = silent,
        *,
        forward: Forward | None = None,
    ) -> Embeddings:
        """Encode texts.

        Args:
            texts: n texts; identical ones are encoded once. Empty ones get the model's vector of
                an empty text: leave them out beforehand where they should be similar to nothing.
            progress: Told the number of texts done.
            forward: Where what is not in the cache goes through the model; None: here.

        Returns:
            Unit vectors, float32[n, dimensions], the same whatever the batches (to 1e-6 in fp32).

        Raises:
            TextError: If a text cannot be tokenised.
            ModelError: If the weights cannot be loaded.
            RunFolderError: If the cache cannot be used.
        """
        if len(set(texts)) == len(texts):
            return self._encode_distinct(texts, progress, forward)
        first: dict[str, int] = {}
        index = np.fromiter((first.setdefault(t, len(first)) for t in texts), np.int64, len(texts))
        distinct = list(first)
        try:
            made = self._encode_distinct(distinct, progress, forward)
        except TextError as error:
            raise error.at(texts.index(distinct[error.position])) from error
        return self._repeated(made, index)

    def bags(
        self, texts: Sequence[str], progress: Progress = silent
    ) -> tuple[Bags, NDArray[np.bool_]]:
        """The texts' tokens alone, as a static student of this model reads them.

        Args:
            texts: n texts.
            progress: Told the number of texts done.

        Returns:
            The tokens, and bool[n]: the text is longer than the model reads.
        """
        parts, long = [], [np.empty(0, np.bool_)]
        for part in windows(texts, longest=FIRST_REACH * self.checkpoint.max_seq_length):
            bags, cut = self.tokenizer.bags(texts[part])
            parts.append(bags)
            long.append(cut)
            progress("tokenising", part.stop, len(texts), "texts")
        return Bags.joined(parts), np.concatenate(long)

    def vocabulary(self, progress: Progress = silent) -> Vectors:
        """The vector of each token of the vocabulary, read alone.

        Args:
            progress: Told the number of tokens done.

        Returns:
            Unit vectors, float32[vocabulary, dimensions].
        """
        tokenizer, body = Tokenizer(self.checkpoint), self._loaded()[0]
        width, count = self.fingerprint.dimensions, tokenizer.vocabulary
        made = np.empty((count, width), np.float32)
        for start in range(0, count, _TOKENS_ALONE):
            stop = min(start + _TOKENS_ALONE, count)
            sequences = [tokenizer.alone(token) for token in range(start, stop)]
            made[start:stop] = shortened(body(sequences, tokenizer.skipped).numpy(), width)
            progress("reading the vocabulary", stop, count, "tokens")
        return made

    def count_cached(self, texts: Sequence[str]) -> int:
        """How many of the distinct texts need no encoding; makes no cache where there is none."""
        folder = self.options.cache_dir or default_cache_dir()
        if not cache_path(folder, self.fingerprint, self.place.precision).exists():
            return 0
        with self._open_cache() as cache:
            distinct = list(dict.fromkeys(texts))
            return cache.count_known(distinct, chunks=self._chunks) if cache else 0

    def sample_cached(self, texts: Sequence[str], size: int, seed: int) -> Vectors:
        """The vectors that are known of a random sample of texts; nothing is encoded.

        Args:
            texts: n different texts.
            size: Texts that are looked up, if there are so many.
            seed: Of the sample.

        Returns:
            float32[m, dimensions], m ≤ size.
        """
        rows = np.random.default_rng(seed).permutation(len(texts))[:size]
        drawn = [texts[row] for row in rows]
        made = self._allocate(len(drawn))
        with self._open_cache() as cache:
            if cache is None:
                return made.vectors[:0]
            return made.vectors[cache.load(drawn, made.vectors, made.truncated, made.chunked)]

    @property
    def _chunks(self) -> bool:
        return self.options.long_texts is LongTexts.CHUNK

    def _encode_distinct(
        self, texts: Sequence[str], progress: Progress, forward: Forward | None
    ) -> Embeddings:
        with self._open_cache() as cache:
            made = self._allocate(len(texts))
            found = np.zeros(len(texts), np.bool_)
            if cache:
                found = cache.load(texts, made.vectors, made.truncated, made.chunked)
            done = int(found.sum())
            progress("encoding", done, len(texts), "texts")
            if done < len(texts):
                todo = np.flatnonzero(~found)
                with self._forward(texts, todo, cache, forward or forward_here) as parts:
                    for part in parts:
                        made.vectors[part.rows] = shortened(part.vectors, made.vectors.shape[1])
                        made.truncated[part.rows] = part.truncated
                        if made.chunked is not None:
                            made.chunked[part.rows] = part.chunked
                        done += len(part.rows)
                        progress("encoding", done, len(texts), "texts")
        return made

    @contextmanager
    def _forward(
        self,
        texts: Sequence[str],
        rows: NDArray[np.int64],
        cache: EmbeddingCache | None,
        forward: Forward,
    ) -> Iterator[Iterator[Finished]]:
        """Encode the given rows, and put their vectors away while others are made.

        Yields:
            The rows as they are done, and in the cache for good.
        """

        def save(part: Finished) -> None:
            assert cache
            own = [texts[row] for row in part.rows]
            cache.save(own, part.vectors, part.truncated, part.chunked)

        with forward(self, texts, rows) as results:
            made = finished(results)
            with behind(made, save) if cache else nullcontext(made) as parts:
                yield parts

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, loaded on first use."""
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(self.checkpoint, self.options.long_texts)
        return self._tokenizer

    @property
    def workers(self) -> list[Callable[[list[list[int]]], Vectors]]:
        """Token numbers of a batch → unit vectors; one for each place, loaded on first use."""
        skipped = self.tokenizer.skipped
        return [partial(_through, body, skipped) for body in self._loaded()]

    @property
    def batch_tokens(self) -> int:
        """Tokens in one forward pass."""
        usual = _STATIC_TOKENS if self.checkpoint.is_static else default_batch_tokens(self.place)
        return self.options.batch_tokens or usual

    def windows(
        self, texts: Sequence[str], rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], list[str]]]:
        """Cut the given rows into windows, which are tokenised together."""
        missing = [texts[row] for row in rows]
        longest = None if self._chunks else FIRST_REACH * self.checkpoint.max_seq_length
        for cut in windows(missing, longest=longest):
            yield rows[cut], missing[cut]

    def _loaded(self) -> list[Body]:
        if not self._bodies and self.checkpoint.is_static:
            self._bodies = [StaticBody(self.checkpoint)]
        if not self._bodies:
            kind = PackedBody if is_supported(self.checkpoint) else GenericBody
            self._bodies = [kind(self.checkpoint, place) for place in self.places]
        return self._bodies

    def _allocate(self, count: int) -> Embeddings:
        shape = (count, self.fingerprint.dimensions)
        truncated = np.zeros(count, np.bool_)
        chunked = np.zeros(count, np.bool_) if self._chunks else None
        if self.holds(count):
            vectors = np.empty(shape, np.float32)
        else:
            folder = self._cache_dir if self.options.use_cache else None
            # The file has no name any more, so it goes away with the process, even a killed one.
            with tempfile.TemporaryFile(dir=folder) as file:
                vectors = np.memmap(file, np.float32, "w+", shape=shape)
        return Embeddings(vectors, self.fingerprint, truncated, chunked)

    def holds(self, count: int) -> bool:
        """Whether so many vectors are held in memory rather than in a file."""
        allowed = self.options.max_memory_bytes or free_memory_bytes() // 2
        size = 4 * count * self.fingerprint.dimensions
        return count <= self.options.max_rows_in_memory and size <= allowed // 2

    def _repeated(self, distinct: Embeddings, index: NDArray[np.int64]) -> Embeddings:
        """The vectors of n texts from those of the distinct ones; index: int64[n]."""
        made = self._allocate(len(index))
        for start in range(0, len(index), _ROWS_COPIED):
            part = slice(start, start + _ROWS_COPIED)
            made.vectors[part] = distinct.vectors[index[part]]
        made.truncated[:] = distinct.truncated[index]
        if made.chunked is not None and distinct.chunked is not None:
            made.chunked[:] = distinct.chunked[index]
        return made

    @property
    def _cache_dir(self) -> str:
        folder = self.options.cache_dir or default_cache_dir()
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    @contextmanager
    def _open_cache(self) -> Iterator[EmbeddingCache | None]:
        # Vectors of a static model are made faster than they are looked up.
        if not self.options.use_cache or self.checkpoint.is_static:
            yield None
            return
        folder = self.options.cache_dir or default_cache_dir()
        # The format is part of the key: vectors of bf16 must not answer a run in fp32. They are
        # kept whole, so that one file answers whatever the dimensions asked for.
        with EmbeddingCache(folder, self.checkpoint.whole, self.place.precision) as cache:
            yield cache


@contextmanager
def forward_here(
    encoder: Encoder, texts: Sequence[str], rows: NDArray[np.int64]
) -> Iterator[Iterator[tuple[Batch, Vectors]]]:
    """Encode on the devices of this machine, with tokens made ahead; see :class:`Forward`."""
    tokenizer = encoder.tokenizer

    def tokenise() -> Iterator[Window]:
        for own, listed in encoder.windows(texts, rows):
            try:
                yield Window(own, tokenizer(listed))
            except TextError as error:
                raise error.at(int(own[error.position])) from error

    def work(worker: Callable[[list[list[int]]], Vectors], batch: Batch) -> Vectors:
        return worker(batch.ids)

    with ahead(tokenise()) as tokenised:
        # The first texts are tokenised while the weights are read.
        workers = [partial(work, worker) for worker in encoder.workers]
        with spread(cut_windows(tokenised, encoder.batch_tokens), workers) as results:
            yield results


def cut_windows(tokenised: Iterable[Window], batch_tokens: int) -> Iterator[Batch]:
    """Cut windows into batches for the model."""
    for window in tokenised:
        for which in batches(window.tokens.lengths, batch_tokens):
            yield Batch(window, which)


def default_batch_tokens(place: Place) -> int:
    """Tokens in one forward pass: what keeps the device busy, and stays in a CPU's caches.

    On a CPU there is nothing for a probe to find: 1,024 to 16,384 tokens are within 4 % of each
    other, by turns, in fp32 and bf16, on headlines, questions and reviews.
    """
    return {"cpu": 4_096, "cuda": 65_536, "mps": 16_384}[place.device.partition(":")[0]]


def _through(body: Body, skipped: int, ids: list[list[int]]) -> Vectors:
    vectors: Vectors = body(ids, skipped).numpy()
    return vectors
