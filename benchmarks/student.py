"""Rows that a static student leaves to be read, on headlines that it was not trained on.

A student is worth what it saves: the share of rows that have to be read so that a wanted share of
the pairs which the model finds is found. Few pairs decide it (1 % of some hundred), so two sets of
unseen headlines are measured.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.fast import headline_texts
from benchmarks.harness import Report, Settings, Table
from benchmarks.pairs import headline_vectors
from sbert_cluster.encoder.bags import Bags
from sbert_cluster.encoder.encoder import Encoder
from sbert_cluster.options import EncodeOptions
from sbert_cluster.pipeline.distill import measured, recipe_for
from sbert_cluster.pipeline.student import draft_student, quick_encoder
from sbert_cluster.progress import silent
from sbert_cluster.training.distill import train_table
from sbert_cluster.types import Vectors

TAUGHT, UNSEEN = 150_000, 50_000
_RECALLS = (0.95, 0.99, 0.999)


def run(settings: Settings) -> Report:
    """Train on some headlines, and measure on those before and those behind them."""
    unseen, taught = (400, 1_200) if settings.quick else (UNSEEN, TAUGHT)
    vectors, notes = headline_vectors(2 * unseen + taught, settings)
    encoder = quick_encoder(Encoder.open(EncodeOptions()))
    bags, _ = encoder.bags(headline_texts(len(vectors)))
    first, taught_on, last = np.split(np.arange(len(vectors)), [unseen, unseen + taught])
    draft = draft_student(encoder, bags.take(taught_on), silent)
    begun, cpu = time.perf_counter(), time.process_time()
    trained = train_table(draft, bags.take(taught_on), vectors[taught_on], recipe_for(taught))
    taken = {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}
    sets = {
        name: {
            "rows": len(rows),
            "untrained": _measured(draft, bags.take(rows), vectors[rows]),
            "trained": _measured(trained, bags.take(rows), vectors[rows]),
        }
        for name, rows in {"the first headlines": first, "the last headlines": last}.items()
    }
    results = {"taught": taught, "training": taken, "unseen": sets}
    return Report("Rows that stay", results, [_table(name, sets[name]) for name in sets],
                  [*notes, " ".join((__doc__ or "").split())])  # fmt: skip


def _measured(table: Vectors, bags: Bags, teacher: Vectors) -> dict[str, float]:
    return measured(table, bags, teacher, _RECALLS)


def _table(name: str, found: dict[str, Any]) -> Table:
    """One set of unseen headlines."""
    keys = [key for key in found["trained"] if key.startswith("rows_stay")]
    rows = [
        [which, *(f"{found[which][key]:.1%}" for key in keys)] for which in ("untrained", "trained")
    ]
    headers = ["", *(key.removeprefix("rows_stay_").replace("_at_", " at ") for key in keys)]
    return Table(f"{found['rows']:,} unseen, {name}: rows that stay", headers, rows)
