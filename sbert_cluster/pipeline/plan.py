"""What a run would take, told in advance: nothing is encoded, compared or written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

import numpy as np

from sbert_cluster.corpus.columns import vectors_of
from sbert_cluster.corpus.texts import texts_of
from sbert_cluster.duplicates.ladder import Units, units_of_texts, units_of_vectors
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.encoder.estimate import seconds_to_encode
from sbert_cluster.engines.forecast import Amount, ClusterPlan, forecast_cluster
from sbert_cluster.engines.simulation import grid_of
from sbert_cluster.meter import available_cores, free_memory_bytes
from sbert_cluster.neighbors.comparison import Grid
from sbert_cluster.neighbors.forecast import Forecast, forecast_sample
from sbert_cluster.neighbors.join import seconds_to_compare
from sbert_cluster.neighbors.scan import scanners
from sbert_cluster.options import DedupOptions, EngineName
from sbert_cluster.pipeline.inputs import Inputs, open_encoder, read_inputs
from sbert_cluster.pipeline.shared import (
    SharedEngine,
    check_names,
    encode_options,
    engine_options,
    read_options,
)
from sbert_cluster.progress import Progress, silent
from sbert_cluster.types import Corpus, Vectors

_START_S = 4.0
"""Seconds to load the libraries and the model."""
_BASE_BYTES = 700_000_000
"""Python, torch, transformers and their buffers, measured."""
_KNOWN_ENOUGH = 1_000
"""Texts whose vectors must be known for a forecast of the pairs, if there are not fewer."""
_SAMPLE_ROWS = 20_000
"""Vectors that are read for it."""


@dataclass(frozen=True)
class Plan:
    """A forecast."""

    rows: int
    """Rows of the input (and of ``against``)."""
    empty: int
    """Rows without a text, or without a vector."""
    distinct: int
    """Different texts (or vectors) that take part."""
    cached: int
    """Of these, texts that need no encoding."""
    pairs: int
    """Pairs to compare."""
    expected: Forecast | None
    """How many of them reach the threshold, told by a sample; None where too few vectors are known
    before the texts are encoded, or no threshold was given."""
    minutes: float
    """Rough time, from a probe of this machine."""
    memory_bytes: int
    """Rough peak."""
    free_memory_bytes: int
    """What is free now."""
    device: str
    """Where texts would be encoded; ``none`` for vectors that come with the rows."""
    precision: str
    """Number format, likewise ``given``."""
    notes: tuple[str, ...]
    """What was guessed while reading."""
    cluster: ClusterPlan | None = None
    """What it would take with ``--engine ray``; None: it was not asked for."""


def plan(
    inputs: Inputs,
    *,
    against: Inputs | None = None,
    threshold: float | None = None,
    vector_column: str | None = None,
    seed: int = 0,
    progress: Progress = silent,
    **shared: Unpack[SharedEngine],
) -> Plan:
    """Forecast a run of ``dedup``; one of ``embed`` takes the same without the comparison.

    Args:
        inputs: As for ``dedup``.
        against: As for ``dedup``.
        threshold: As for ``dedup``; None: nothing is compared.
        vector_column: As for ``dedup``.
        seed: Of the sample.
        progress: Told how far the reading is.
        **shared: See :class:`~sbert_cluster.pipeline.shared.SharedEngine`.

    Raises:
        SbertClusterError: As ``dedup`` would.
    """
    check_names("plan", shared, SharedEngine)
    read = read_options(shared, vector_column)
    encoder = open_encoder(read, encode_options(shared), progress)
    sources = [inputs] if against is None else [inputs, against]
    corpora = [read_inputs(source, read, progress) for source in sources]
    texts = [text for corpus in corpora for text in texts_of(corpus)]
    units, vectors = _fold(corpora, texts, encoder)
    width = encoder.fingerprint.dimensions if encoder else vectors.shape[1]
    todo = [texts[row] for row in units.first]
    cached = encoder.count_cached(todo) if encoder else 0
    pairs = _pairs(units.index[: len(corpora[0])], units.index[len(corpora[0]) :])
    if encoder and threshold is not None and cached >= min(len(todo), _KNOWN_ENOUGH):
        vectors = encoder.sample_cached(todo, _SAMPLE_ROWS, seed)
    expected = _expected(vectors, threshold, pairs, seed)
    encoding = 0.0
    seconds = _START_S + seconds_to_compare(pairs)
    held = 4 * len(units) * width if not encoder or encoder.holds(len(units)) else 0
    # Codes of at most three chunks, and what the threads of the comparison hold.
    memory = _BASE_BYTES + held + 192 * len(units) + 3 * sum(map(len, texts))
    memory += 3 * sum(int(corpus.frame.estimated_size()) for corpus in corpora)
    if encoder:
        share = 1 - cached / max(1, len(todo))
        long_texts = encoder.options.long_texts
        encoding = share * seconds_to_encode(encoder.checkpoint, encoder.place, todo, long_texts)
        memory += 2 * sum(path.stat().st_size for path in encoder.checkpoint.weights)
    cluster = None
    if (options := engine_options(shared)).name is EngineName.RAY:
        grid = None if threshold is None else _grid(units, len(corpora[0]))
        found = expected.pairs if expected else 0
        amount = _amount(len(todo) - cached, width, encoding, grid, found)
        cluster = forecast_cluster(amount, options.workers or available_cores())
    return Plan(
        rows=len(texts),
        empty=int((units.index < 0).sum()),
        distinct=len(units),
        cached=cached,
        pairs=pairs,
        expected=expected,
        minutes=round((seconds + encoding) / 60, 2),
        memory_bytes=memory,
        free_memory_bytes=free_memory_bytes(),
        device=encoder.place.device if encoder else "none",
        precision=str(encoder.place.precision) if encoder else "given",
        notes=(*corpora[0].notes, *(encoder.notes if encoder else ())),
        cluster=cluster,
    )


def _amount(texts: int, width: int, encoding: float, grid: Grid | None, expected: int) -> Amount:
    """What a cluster has to do; the rates are those of a core of this machine."""
    import torch

    core_s = seconds_to_compare(1) * scanners()[0].workers
    return Amount(texts, width, encoding * torch.get_num_threads(), grid, core_s, expected)


def _grid(units: Units, rows: int) -> Grid:
    own, other = units.index[:rows], units.index[rows:]
    left, right = len(np.unique(own[own >= 0])), len(np.unique(other[other >= 0]))
    return grid_of(left, right if len(other) else None)


def _expected(vectors: Vectors, threshold: float | None, pairs: int, seed: int) -> Forecast | None:
    """The forecast from the vectors that are known; None where there are none."""
    if threshold is None:
        return None
    DedupOptions(threshold=threshold)  # refuses one that is out of range
    return forecast_sample(vectors, threshold, pairs, seed=seed) if len(vectors) > 1 else None


def _fold(
    corpora: list[Corpus], texts: list[str], encoder: Encoder | None
) -> tuple[Units, Vectors]:
    """The units, and their vectors where these come with the rows."""
    if encoder:
        return units_of_texts(texts), np.empty((0, 0), np.float32)
    parts = [vectors_of(corpus) for corpus in corpora]
    vectors = np.concatenate([vectors for vectors, _ in parts])
    present = np.concatenate([present for _, present in parts])
    units = units_of_vectors(vectors, present, texts)
    return units, vectors[units.first]


def _pairs(
    own: np.ndarray[tuple[int], np.dtype[np.int64]],
    other: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> int:
    left, right = len(np.unique(own[own >= 0])), len(np.unique(other[other >= 0]))
    return left * right if len(other) else left * (left - 1) // 2
