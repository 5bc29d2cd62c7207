"""The 65 hours of the paper: the most similar pair among 10,000 sentences.

Reimers & Gurevych 2019, abstract: a cross-encoder must read every pair, some 50 million of them,
which takes BERT about 65 hours; sentence embeddings take seconds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.contenders import open_encoder
from benchmarks.harness import Report, Settings, Table, Timed, alternate, say
from benchmarks.texts import SEED, corpus
from sbert_cluster.neighbors.join import find_pairs
from sbert_cluster.options import DEFAULT_MODEL
from sbert_cluster.types import Vectors

if TYPE_CHECKING:
    import torch

_TEXTS = 10_000
_THRESHOLDS = (0.95, 0.9, 0.8, 0.7, 0.5, 0.3, 0.1)
_MOST_REPEATS = 3

Pair = tuple[str, str]


def run(settings: Settings) -> Report:
    """Measure the cross-encoder on a sample of pairs and ours on the whole."""
    drawn, notes = corpus("headlines")
    texts = drawn.texts[: 500 if settings.quick else _TEXTS]
    possible = len(texts) * (len(texts) - 1) // 2
    repeats = min(settings.repeats, _MOST_REPEATS)
    cross = _cross_encoders(texts, possible, settings, repeats)
    say(f"ours, {len(texts):,} texts")
    ours = _measure_ours(texts, settings.device, repeats)
    for one in cross["settings"].values():
        one["times_ours"] = one["seconds_for_all_pairs"] / ours["seconds"]
    results = {"texts": len(texts), "pairs": possible, "cross_encoder": cross, "ours": ours}
    return Report(
        f"The most similar pair among {len(texts):,} texts ({possible:,} pairs)",
        results,
        [_table(results)],
        [*notes, *_notes(results)],
    )


class _CrossEncoder:
    """A transformer of BERT-base's shape with one output; its weights are random."""

    def __init__(self, precision: str, device: str) -> None:
        import torch
        from transformers import BertConfig, BertForSequenceClassification

        torch.manual_seed(SEED)
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        model = BertForSequenceClassification(BertConfig(num_labels=1))
        self._model = model.to(device, dtype).eval()
        self._tokenizer = _pair_tokenizer()
        self._device = device

    def __call__(self, pairs: Sequence[Pair], batch_size: int) -> int:
        """Score pairs, those of like length together; returns the number of tokens read."""
        import torch

        encodings = self._tokenizer.encode_batch(list(pairs))
        encodings.sort(key=lambda encoding: -len(encoding.ids))
        scores = []
        with torch.inference_mode():
            for start in range(0, len(encodings), batch_size):
                batch = self._padded(encodings[start : start + batch_size])
                scores.append(self._model(**batch).logits.float().cpu())
        assert sum(map(len, scores)) == len(pairs)
        return sum(len(encoding.ids) for encoding in encodings)

    def _padded(self, encodings: Sequence[Any]) -> dict[str, torch.Tensor]:
        import torch

        width = max(len(encoding.ids) for encoding in encodings)
        fields = {"input_ids": "ids", "token_type_ids": "type_ids", "attention_mask": None}
        batch = {}
        for name, field in fields.items():
            rows = [getattr(e, field) if field else [1] * len(e.ids) for e in encodings]
            filled = [list(row) + [0] * (width - len(row)) for row in rows]
            batch[name] = torch.tensor(filled, device=self._device)
        return batch


def _pair_tokenizer() -> Any:
    """The default model's tokenizer, which is BERT's, for two texts at a time."""
    import tokenizers

    from sbert_cluster.encoder.locate import locate_model

    tokenizer = tokenizers.Tokenizer.from_file(str(locate_model(DEFAULT_MODEL) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    return tokenizer


def _cross_encoders(
    texts: list[str], possible: int, settings: Settings, repeats: int
) -> dict[str, Any]:
    """Time every setting on the same sample of pairs, and extrapolate to all of them."""
    models = {
        precision: _CrossEncoder(precision, settings.device) for precision in ("fp32", "bf16")
    }
    # Long enough that the sample's mean length is that of the corpus; some 10 s of fp32.
    pairs = _sample(texts, models["fp32"], 0.5 if settings.quick else 10.0)
    work = {
        f"cross-encoder {precision}, batch {size}": partial(model, pairs, size)
        for precision, model in models.items()
        for size in (32, 64)
    }
    models["bf16"](pairs[:64], 64)
    timed = alternate(work, repeats)
    tokens = next(iter(timed.values())).result
    return {
        "pairs_measured": len(pairs),
        "tokens_per_pair": tokens / len(pairs),
        "settings": {name: _extrapolate(one, len(pairs), possible) for name, one in timed.items()},
    }


def _sample(texts: list[str], model: _CrossEncoder, seconds: float) -> list[Pair]:
    """Random pairs of different texts, as many as the model scores in about the given time."""
    generator = np.random.default_rng(SEED)

    def draw(count: int) -> list[Pair]:
        left = generator.integers(0, len(texts), count)
        right = (left + generator.integers(1, len(texts), count)) % len(texts)
        return [(texts[i], texts[j]) for i, j in zip(left, right, strict=True)]

    model(draw(64), 64)
    begun = time.perf_counter()
    model(draw(64), 64)
    rate = 64 / (time.perf_counter() - begun)
    return draw(max(64, round(rate * seconds / 64) * 64))


def _extrapolate(timed: Timed[int], measured: int, possible: int) -> dict[str, Any]:
    rate = measured / timed.median
    return {
        "seconds_measured": timed.seconds,
        "pairs_per_second": rate,
        "seconds_for_all_pairs": possible / rate,
        "hours_for_all_pairs": possible / rate / 3_600,
    }


def _measure_ours(texts: list[str], device: str, repeats: int) -> dict[str, Any]:
    """Load the model, encode, and find the most similar pair; medians of whole repeats."""
    open_encoder("auto", device).encode(texts[:64])  # torch itself is warm, as for the others
    runs = [_once(texts, device) for _ in range(repeats)]
    runs.sort(key=lambda one: float(one["seconds"]))
    return {**runs[(len(runs) - 1) // 2], "all_seconds": [one["seconds"] for one in runs]}


def _once(texts: list[str], device: str) -> dict[str, Any]:
    begun = time.perf_counter()
    encoder = open_encoder("auto", device)
    vectors = encoder.encode(texts).vectors
    encoded = time.perf_counter()
    similarity, threshold = most_similar(vectors)
    done = time.perf_counter()
    return {
        "precision": str(encoder.place.precision),
        "seconds": done - begun,
        "seconds_encoding": encoded - begun,
        "seconds_comparing": done - encoded,
        "highest_similarity": similarity,
        "threshold_that_found_it": threshold,
    }


def most_similar(vectors: Vectors) -> tuple[float, float]:
    """The highest cosine of any two rows, exactly, and the threshold that was low enough.

    All pairs at or above a threshold are found, so the best of them is the best of all.
    """
    for threshold in _THRESHOLDS:
        similarities = find_pairs(vectors, threshold).pairs.similarity
        if len(similarities):
            return float(similarities.max()), threshold
    raise ValueError(f"no two rows have a cosine of {_THRESHOLDS[-1]}")


def _table(results: dict[str, Any]) -> Table:
    ours = results["ours"]
    rows = [
        [
            name,
            f"{one['pairs_per_second']:,.1f}",
            f"{one['hours_for_all_pairs']:,.1f} h (extrapolated)",
            f"{one['times_ours']:,.0f}",
        ]
        for name, one in results["cross_encoder"]["settings"].items()
    ]
    rate = results["pairs"] / ours["seconds"]
    whole = f"{ours['seconds']:.2f} s (measured)"
    rows.append([f"sbert-cluster auto ({ours['precision']})", f"{rate:,.0f}", whole, "1"])
    return Table("Headlines", ("way", "pairs/s", "all pairs", "× our time"), rows)


def _notes(results: dict[str, Any]) -> list[str]:
    cross, ours = results["cross_encoder"], results["ours"]
    return [
        f"The cross-encoder was measured on {cross['pairs_measured']:,} random pairs of "
        f"{cross['tokens_per_pair']:.1f} tokens, sorted by length, and extrapolated to all "
        f"{results['pairs']:,}. Its weights are random, since speed needs no training.",
        "It has the shape of BERT-base, as in the paper; ours is the default model, which is "
        "smaller, so the ratio holds both the method's gain and the model's.",
        f"Ours was measured whole: opened and encoded in {ours['seconds_encoding']:.2f} s, every "
        f"pair compared in {ours['seconds_comparing']:.2f} s.",
    ]
