"""Texts as shards: actors hold the model, tokenise windows of texts, and encode their batches.

Windows and batches are cut as on one machine, so the vectors are the same to the last bit.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sbert_cluster.encoder.chunks import Batch, Window
from sbert_cluster.encoder.encoder import Encoder, cut_windows
from sbert_cluster.encoder.tokens import Tokens
from sbert_cluster.engines.ray.cluster import Cluster
from sbert_cluster.engines.ray.crew import ATTEMPTS, Call, CallKills, Crew
from sbert_cluster.errors import EngineError, ModelError, SbertClusterError, TextError
from sbert_cluster.options import EncodeOptions
from sbert_cluster.types import Rows, Vectors

_CALL_TOKENS = 8_192
"""Tokens of the batches that go to an actor together: half a second of a core."""
_IN_FLIGHT = 2
"""Calls for each actor: the one it works on, and one more so that it need not wait."""
_WINDOWS_AHEAD = 2
"""Windows that are tokenised before they are needed."""


@contextmanager
def forward(
    cluster: Cluster, encoder: Encoder, texts: Sequence[str], rows: Rows
) -> Iterator[Iterator[tuple[Batch, Vectors]]]:
    """Encode by actors; see :class:`~sbert_cluster.encoder.encoder.Forward`.

    Raises:
        TextError: If a text cannot be tokenised, or ends the process that tokenises it.
        EngineError: If actors die again and again.
        ModelError: If a machine has no such model, or another one under the same name.
    """
    crew = _hired(cluster, encoder)
    try:
        yield _Shards(crew, encoder, texts, rows).results()
    finally:
        crew.close()


def _hired(cluster: Cluster, encoder: Encoder) -> Crew:
    """One actor for each GPU, or for each core where there are none."""
    import ray

    place, gpus = encoder.place, cluster.gpus
    on_gpu = encoder.options.device in ("auto", "cuda") and gpus > 0
    on_gpu = on_gpu or place.device.startswith("cuda")
    options = replace(
        encoder.options,
        use_cache=False,
        precision=place.precision,
        device="cuda" if on_gpu else encoder.options.device,
    )
    kind = ray.remote(_Reader).options(num_cpus=1, num_gpus=1 if on_gpu else 0, max_restarts=0)
    size = max(1, min(cluster.slots, gpus) if on_gpu else cluster.slots)
    return Crew(lambda: kind.remote(options, encoder.fingerprint.key), size)


@dataclass(frozen=True)
class _Shards:
    """The shards of one call of ``encode``, and who does them."""

    crew: Crew
    encoder: Encoder
    texts: Sequence[str]
    rows: Rows

    def results(self) -> Iterator[tuple[Batch, Vectors]]:
        """Batches with their vectors, in order."""
        budget = _checked(self.crew.result(self.crew.send("open")))
        each = max(1, _CALL_TOKENS // budget)
        cut = cut_windows(self._windows(), budget)
        flying: deque[tuple[list[Batch], Call]] = deque()
        while batches := list(islice(cut, each)):
            flying.append((batches, self.crew.send("encode", [batch.ids for batch in batches])))
            while len(flying) > _IN_FLIGHT * len(self.crew):
                yield from self._fetched(*flying.popleft())
        for part, call in flying:
            yield from self._fetched(part, call)

    def _fetched(self, batches: list[Batch], call: Call) -> Iterator[tuple[Batch, Vectors]]:
        try:
            vectors = _checked(self.crew.result(call))
        except CallKills as error:
            rows = sorted(int(row) for batch in batches for row in _rows(batch))
            raise TextError(rows[0], f"one of {len(rows)} texts; {error.problem}") from error
        yield from zip(batches, vectors, strict=True)

    def _windows(self) -> Iterator[Window]:
        """Windows in order, with their tokens made ahead."""
        windows = self.encoder.windows(self.texts, self.rows)
        waiting: deque[tuple[Rows, list[str], Call]] = deque()
        for rows, listed in windows:
            waiting.append((rows, listed, self.crew.send("tokenise", listed)))
            if len(waiting) > _WINDOWS_AHEAD:
                yield self._tokenised(*waiting.popleft())
        for parts in waiting:
            yield self._tokenised(*parts)

    def _tokenised(self, rows: Rows, listed: list[str], call: Call) -> Window:
        try:
            tokens: Tokens = _checked(self.crew.result(call))
        except TextError as error:
            raise error.at(int(rows[error.position])) from error
        except CallKills as error:
            position = self._deadly(listed)
            if position is None:
                raise
            reason = "it ends the process that tokenises it"
            raise TextError(int(rows[position]), reason) from error
        return Window(rows, tokens)

    def _deadly(self, listed: list[str]) -> int | None:
        """Position of the text that ends a process, by halves; None: alone it does no harm."""
        first, last = 0, len(listed)
        while last - first > 1:
            middle = (first + last) // 2
            first, last = (
                (first, middle) if self._is_deadly(listed[first:middle]) else (middle, last)
            )
        return first if self._is_deadly(listed[first:last]) else None

    def _is_deadly(self, listed: list[str]) -> bool:
        # One death is enough now.
        try:
            self.crew.result(self.crew.send("tokenise", listed, deaths=ATTEMPTS - 1))
        except CallKills:
            return True
        return False


def _rows(batch: Batch) -> Rows:
    rows: Rows = batch.window.rows[batch.window.tokens.text[batch.which]]
    return rows


def _checked(result: Any) -> Any:
    """What an actor returned; an error that is meant for people is raised here."""
    if isinstance(result, SbertClusterError):
        raise result
    return result


class _Reader:
    """The actor: a model, and what it makes of texts.

    Errors are returned rather than raised, since Ray writes what is raised to its logs, and an
    error may hold a text.
    """

    def __init__(self, options: EncodeOptions, key: str) -> None:
        self._options, self._key = options, key
        # There is one actor for each core: its tokenizer must not start threads for all of them.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        # Ray keeps what workers print, and a tokenizer that panics prints the text.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        self._encoder: Encoder | None = None

    def open(self) -> int | SbertClusterError:
        """Open the model; tokens of a batch on this device."""
        try:
            return self._opened().batch_tokens
        except SbertClusterError as error:
            return error

    def tokenise(self, texts: list[str]) -> Tokens | SbertClusterError:
        """Token numbers of texts."""
        try:
            return self._opened().tokenizer(texts)
        except SbertClusterError as error:
            return error

    def encode(self, batches: list[list[list[int]]]) -> list[Vectors] | SbertClusterError:
        """Vectors of batches of token numbers."""
        try:
            work = self._opened().workers[0]
            return [work(ids) for ids in batches]
        except SbertClusterError as error:
            return error
        except RuntimeError as error:
            kind = type(error).__name__
            return EngineError(f"the model failed on a worker ({kind})", "Try another --device.")

    def _opened(self) -> Encoder:
        if self._encoder is None:
            encoder = Encoder.open(self._options)
            if encoder.fingerprint.key != self._key:
                raise ModelError(
                    f"on another machine, {self._options.model} is another model",
                    "Copy the same model to every machine, to the same place.",
                )
            self._encoder = encoder
        return self._encoder
