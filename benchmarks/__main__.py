"""``python -m benchmarks [NAME ...] [--quick]``: list the benchmarks, run them, keep results."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks.harness import RESULTS, Settings, machine, print_report, save

BENCHMARKS = {
    "encode": "texts to vectors, against sentence-transformers: speed, memory, accuracy",
    "batching": "Table 7 of the paper: padded in random order, sorted by length, and packed",
    "crossencoder": "the most similar pair of 10,000 sentences: a cross-encoder's hours and ours",
    "pairs": "every pair above a threshold: torch, FAISS, usearch, sentence-transformers",
    "fast": "texts to pairs: in full, with --fast, SemHash, sentence-transformers",
    "student": "rows that a static student leaves to be read, on unseen headlines",
    "search": "the rows nearest to one query among 1,000,000: FAISS flat, numpy",
    "engines": "Ray as an engine against one machine: pairs, encoding, two nodes, memory",
    "scale": "10 million rows and more: the schedule, measured and simulated",
    "browse": "the terminal UI over 1,000,000 rows: first paint, keys to paint, memory",
    "clusters": "clusters against gold classes: BERTopic's recipe, EVoC, k-means and others",
    "quality": "semantic textual similarity (STS12-16, STSb, SICK-R) in every number format",
    "finetune": "a model trained on Quora questions, all labels and 300; a cross-encoder beside it",
    "paper": "tables 1, 2, 5 and 6 of the paper: STS, trained STSb, SentEval, ablations",
}
"""Name → what it measures; the module of that name has ``run(settings) -> Report``."""


def main() -> int:
    """Run the benchmarks that the command line names, or all."""
    arguments = _parse()
    for name, what in BENCHMARKS.items():
        print(f"{name:14}{what}", file=sys.stderr)
    if arguments.list:
        return 0
    settings = Settings(
        quick=arguments.quick,
        repeats=arguments.repeats or (2 if arguments.quick else 5),
        device=arguments.device,
        only=tuple(arguments.only),
    )
    # A quick run says whether a benchmark works; its figures must not replace real ones.
    results = arguments.results or (None if arguments.quick else RESULTS)
    for name in arguments.names or BENCHMARKS:
        begun = machine(settings.device)
        if max(begun["load_average"][:1], default=0) > 0.5:
            print("the machine is busy: trust ratios only, if that", file=sys.stderr)
        report = importlib.import_module(f"benchmarks.{name}").run(settings)
        print_report(report)
        if results:
            saved_as = name if settings.device == "cpu" else f"{name}-{settings.device}"
            print(f"written: {save(report, settings, begun, results, saved_as)}", file=sys.stderr)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run; default: all")
    parser.add_argument("--list", action="store_true", help="list the benchmarks and stop")
    parser.add_argument("--quick", action="store_true", help="few texts; nothing is written")
    parser.add_argument("--repeats", type=int, help="times each contender runs (5; quick: 2)")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="default: cpu")
    parser.add_argument(
        "--only", action="append", default=[], metavar="RACE",
        help="run only races whose name holds this (fast); the others stay as recorded",
    )  # fmt: skip
    parser.add_argument("--results", type=Path, help="folder for the JSON; default: results/")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
