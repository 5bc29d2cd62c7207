"""Smart batching, as in Table 7 of the paper (Reimers & Gurevych 2019), and packing beside it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.contenders import open_encoder
from benchmarks.encode import count_tokens
from benchmarks.harness import Report, Settings, Table, Timed, alternate, enough
from benchmarks.texts import corpora
from sbert_cluster.encoder.checkpoint import open_checkpoint
from sbert_cluster.encoder.device import choose_place
from sbert_cluster.encoder.generic import GenericBody
from sbert_cluster.encoder.tokens import Tokenizer
from sbert_cluster.options import DEFAULT_MODEL, Precision
from sbert_cluster.types import Vectors

BATCH = 32
"""Texts in a padded batch."""
_RANDOM, _SORTED, _PACKED = "padded, random order", "padded, smart batching", "packed"


def run(settings: Settings) -> Report:
    """Encode each corpus in fp32 three ways."""
    texts, notes = corpora()
    padded = _Padded(settings.device)
    encoder = open_encoder("fp32", settings.device)
    seconds = 0.4 if settings.quick else 7.0
    results: dict[str, Any] = {}
    for corpus in texts:
        encoder.encode(corpus.texts[:BATCH])
        drawn = enough(partial(padded, by_length=False), corpus.texts, seconds)
        ways: dict[str, Callable[[], Vectors]] = {
            _RANDOM: partial(padded, drawn, by_length=False),
            _SORTED: partial(padded, drawn, by_length=True),
            _PACKED: partial(_packed, encoder, drawn),
        }
        results[corpus.name] = _describe(alternate(ways, settings.repeats), drawn, padded)
    return Report("Smart batching (Table 7)", results, [_table(results)], [*notes, *_notes()])


def _packed(encoder: Any, texts: list[str]) -> Vectors:
    vectors: Vectors = encoder.encode(texts).vectors
    return vectors


class _Padded:
    """The padded path: batches of 32 texts, each filled up to its longest."""

    def __init__(self, device: str) -> None:
        checkpoint = open_checkpoint(DEFAULT_MODEL)
        self._tokenizer = Tokenizer(checkpoint)
        self._body = GenericBody(checkpoint, choose_place(device, Precision.FP32))

    def __call__(self, texts: list[str], *, by_length: bool) -> Vectors:
        """Unit vectors of the texts. Shape: (len(texts), dimensions)."""
        tokens = self._tokenizer(texts)
        order = _order(tokens.lengths, by_length=by_length)
        made = [
            self._body(tokens.take(order[start : start + BATCH]), 0).numpy()
            for start in range(0, len(order), BATCH)
        ]
        vectors = np.concatenate(made)
        back = np.empty_like(vectors)
        back[order] = vectors
        return back

    def computed_tokens(self, texts: list[str], *, by_length: bool) -> int:
        """Tokens that pass through the model, padding included."""
        lengths = self._tokenizer(texts).lengths
        ordered = lengths[_order(lengths, by_length=by_length)]
        batches = [ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH)]
        return sum(int(batch.max()) * len(batch) for batch in batches)


def _order(lengths: NDArray[np.int64], *, by_length: bool) -> NDArray[np.int64]:
    order = np.argsort(-lengths, kind="stable") if by_length else np.arange(len(lengths))
    return order.astype(np.int64)


def _describe(
    timed: dict[str, Timed[Vectors]], texts: list[str], padded: _Padded
) -> dict[str, Any]:
    tokens = count_tokens(texts)
    computed = {
        _RANDOM: padded.computed_tokens(texts, by_length=False),
        _SORTED: padded.computed_tokens(texts, by_length=True),
        _PACKED: tokens,
    }
    baseline = timed[_RANDOM]
    return {
        "texts": len(texts),
        "tokens": tokens,
        "ways": {
            name: {
                "seconds": one.seconds,
                "sentences_per_second": len(texts) / one.median,
                "times_random_order": baseline.median / one.median,
                "padding_share": 1 - tokens / computed[name],
                "largest_difference": float(np.abs(one.result - baseline.result).max()),
            }
            for name, one in timed.items()
        },
    }


def _table(results: dict[str, Any]) -> Table:
    headers = ("corpus", "way", "sentences/s", "× random order", "padding", "largest difference")
    rows = [
        [
            corpus,
            way,
            f"{one['sentences_per_second']:,.0f}",
            f"{one['times_random_order']:.2f}",
            f"{one['padding_share']:.0%}",
            f"{one['largest_difference']:.1e}",
        ]
        for corpus, measured in results.items()
        for way, one in measured["ways"].items()
    ]
    return Table("fp32, one process, alternating", headers, rows)


def _notes() -> list[str]:
    return [
        f"Padded: transformers' own forward pass in batches of {BATCH} texts. Packed: this "
        "project's path with its own batches. Tokenising is part of all three.",
        "Padding is the share of the computed tokens that are none. Largest difference: of any "
        "component of any vector to the padded path in random order.",
        "The paper's Table 7 (SBERT-NLI-base, sentences/s): 44 → 83 on a CPU, 1,378 → 2,042 on a "
        "V100 with smart batching.",
    ]
