"""Texts to vectors, against sentence-transformers in its default and in its best settings."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.contenders import OURS, PEER, Contender, Loaded, all_contenders, load_all
from benchmarks.harness import (
    Report,
    Settings,
    Table,
    Timed,
    alternate,
    enough,
    in_fresh_process,
    peak_memory_mib,
    say,
)
from benchmarks.rates import Probe, make_probe, model_shapes
from benchmarks.texts import corpora
from sbert_cluster.options import DEFAULT_MODEL
from sbert_cluster.types import Vectors

_PROBE = "products in "


def run(settings: Settings) -> Report:
    """Measure speed and accuracy on each corpus, then peak memory in fresh processes."""
    texts, notes = corpora()
    contenders = all_contenders(settings.device)
    loaded, left_out = load_all(contenders)
    probes = _probes(loaded, settings)
    slowest = 0.4 if settings.quick else 7.0
    results: dict[str, Any] = {"flop_per_token": model_shapes().flop_per_token, "corpora": {}}
    tables, sample = [], []
    for corpus in texts:
        drawn = enough(loaded[0].encode, corpus.texts, slowest)
        sample += drawn
        measured = _measure(drawn, loaded, probes, settings.repeats)
        results["corpora"][corpus.name] = measured
        tables.append(_speed_table(corpus.name, measured))
    results["memory"] = _peaks([one.contender for one in loaded], sample)
    tables += [_rates_table(results["corpora"]), _memory_table(results["memory"], len(sample))]
    return Report("Texts to vectors", results, tables, [*notes, *left_out, *_definitions()])


def count_tokens(texts: Sequence[str]) -> int:
    """Tokens that the default model reads, its special tokens included; long texts are cut."""
    from sbert_cluster.encoder.checkpoint import open_checkpoint
    from sbert_cluster.encoder.tokens import Tokenizer

    tokenizer = Tokenizer(open_checkpoint(DEFAULT_MODEL))
    return sum(
        int(tokenizer(texts[i : i + 4_096]).lengths.sum()) for i in range(0, len(texts), 4_096)
    )


def peak_of(contender: Contender | None, texts: list[str]) -> float:
    """Peak memory of this process in MiB once it has encoded; None: it only imports torch."""
    importlib.import_module("torch")
    say(f"memory  {contender.name if contender else 'torch alone'}")
    if contender:
        contender.load().encode(texts)
    return round(peak_memory_mib(), 1)


def _probes(loaded: Sequence[Loaded], settings: Settings) -> dict[str, Probe]:
    formats = sorted({one.precision for one in loaded})
    made = {p: make_probe(p, settings.device, 0.02 if settings.quick else 0.3) for p in formats}
    return {precision: probe for precision, probe in made.items() if probe}


def _measure(
    texts: list[str], loaded: Sequence[Loaded], probes: dict[str, Probe], repeats: int
) -> dict[str, Any]:
    """Time everybody on the same texts, with the probes among them."""
    tokens = count_tokens(texts)
    work: dict[str, Callable[[], Vectors | None]] = {
        one.contender.name: partial(one.encode, texts) for one in loaded
    }
    work |= {_PROBE + precision: probe for precision, probe in probes.items()}
    timed = alternate(work, repeats)
    rates = {p: probe.flop / timed[_PROBE + p].median for p, probe in probes.items()}
    reference = timed[loaded[0].contender.name].result
    described = {}
    for one in loaded:
        name = one.contender.name
        described[name] = {
            **_speed(timed[name], len(texts), tokens, rates.get(one.precision)),
            **_closeness(timed[name].result, reference),
            "precision": one.precision,
        }
    _add_ratios(described)
    return {
        "texts": len(texts),
        "tokens": tokens,
        "product_flop_per_second": rates,
        "contenders": described,
    }


def _speed(
    timed: Timed[Vectors | None], texts: int, tokens: int, rate: float | None
) -> dict[str, Any]:
    flop = tokens * model_shapes().flop_per_token
    return {
        "seconds": timed.seconds,
        "sentences_per_second": texts / timed.median,
        "tokens_per_second": tokens / timed.median,
        "share_of_product_rate": flop / timed.median / rate if rate else None,
    }


def _closeness(vectors: Vectors | None, reference: Vectors | None) -> dict[str, float]:
    """Cosine of each text's vector to the reference's, in float64."""
    assert vectors is not None
    assert reference is not None
    left, right = vectors.astype(np.float64), reference.astype(np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosine = (left * right).sum(axis=1) / lengths
    return {"lowest_cosine": float(cosine.min()), "mean_cosine": float(cosine.mean())}


def _add_ratios(described: dict[str, dict[str, Any]]) -> None:
    """How many times as fast as the peer's default and as its best fp32 setting: of medians."""
    peers = {name: one for name, one in described.items() if name.startswith(f"{PEER} fp32")}
    default = next(iter(peers.values()))["sentences_per_second"]
    best = max(one["sentences_per_second"] for one in peers.values())
    for one in described.values():
        one["times_default"] = one["sentences_per_second"] / default
        one["times_best_fp32"] = one["sentences_per_second"] / best


def _peaks(contenders: Sequence[Contender], texts: list[str]) -> dict[str, float]:
    peaks = {"torch alone": in_fresh_process(peak_of, None, [])}
    return peaks | {one.name: in_fresh_process(peak_of, one, texts) for one in contenders}


def _speed_table(name: str, measured: dict[str, Any]) -> Table:
    mean = measured["tokens"] / measured["texts"]
    headers = (
        "contender",
        "sentences/s",
        "tokens/s",
        "× best fp32 peer",
        "× default peer",
        "of product rate",
        "lowest cosine",
        "mean cosine",
    )
    rows = [_speed_row(who, one) for who, one in measured["contenders"].items()]
    return Table(f"{name}: {measured['texts']:,} texts, {mean:.1f} tokens each", headers, rows)


def _speed_row(name: str, one: dict[str, Any]) -> list[str]:
    share = one["share_of_product_rate"]
    auto = f" ({one['precision']})" if name == f"{OURS} auto" else ""
    return [
        name + auto,
        f"{one['sentences_per_second']:,.0f}",
        f"{one['tokens_per_second']:,.0f}",
        f"{one['times_best_fp32']:.2f}",
        f"{one['times_default']:.2f}",
        "?" if share is None else f"{share:.0%}",
        f"{one['lowest_cosine']:.7f}",
        f"{one['mean_cosine']:.7f}",
    ]


def _rates_table(measured: dict[str, Any]) -> Table:
    formats = sorted({p for one in measured.values() for p in one["product_flop_per_second"]})
    rows = []
    for precision in formats:
        rates = [one["product_flop_per_second"][precision] / 1e9 for one in measured.values()]
        tokens = statistics.median(rates) * 1e9 / model_shapes().flop_per_token
        rows.append([precision, *(f"{rate:,.0f}" for rate in rates), f"{tokens:,.0f}"])
    return Table(
        "Matrix products of the model's shapes, 2,048 rows: GFLOP/s during each corpus",
        ["format", *measured, "limit in tokens/s"],
        rows,
    )


def _memory_table(peaks: dict[str, float], texts: int) -> Table:
    rows = [[name, f"{peak:,.0f}"] for name, peak in peaks.items()]
    return Table(
        f"Peak memory of a fresh process that encodes all {texts:,} texts",
        ["contender", "MiB"],
        rows,
    )


def _definitions() -> list[str]:
    return [
        "Times are medians of repeats that alternate in one process, tokenising included; models "
        "are loaded and warm, caches off. Ratios are quotients of medians.",
        f"The default peer is {PEER} in fp32 with batches of 32; the best is its faster fp32 "
        "setting on that corpus. Cosines are to the default peer's vectors.",
        "Share of product rate: tokens × FLOP per token of the linear layers (attention left out) "
        "over the rate that torch's own products of these shapes reached in the same rounds.",
    ]
