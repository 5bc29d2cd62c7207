"""From texts to pairs: a full run, ``--fast``, a static student alone, SemHash, and mining."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import (
    RESULTS,
    ROOT,
    Report,
    Settings,
    Table,
    draw_growth,
    in_fresh_process,
    peak_memory_mib,
    recorded,
    say,
)
from benchmarks.texts import data_folder
from sbert_cluster.types import Vectors

THRESHOLD = 0.9
SIZES = (100_000, 200_000, 1_000_000)
QUESTIONS = 50_000
MOST_FULL = 200_000
"""Headlines that are run in full at most."""
PATIENCE_S = 600.0
"""Beyond, a peer is extrapolated from a sample, and this is said."""
_SAMPLE = 2_000
"""Texts that sentence-transformers encodes for that,"""
_MINED = 20_000
"""and vectors that it mines."""
_MARGIN = 0.01
"""How far bf16 may see a pair below the threshold; it moves similarities by 0.003."""
_FULL, _FAST = "sbert-cluster", "sbert-cluster --fast"
_STUDENT, _SEMHASH = "sbert-cluster, a student alone", "SemHash, the same student"
_MINING = "sentence-transformers encode + mining"

Found = NDArray[np.int64]
"""int64[m]: pairs of rows as left · n + right, rising."""


@dataclass(frozen=True)
class Taken:
    """What one contender took and found."""

    seconds: float
    cpu_seconds: float
    """Of all threads: what is left to compare where the machine is not alone."""
    peak_mib: float
    pairs: Found | None = None
    """None: it was extrapolated, or its pairs are not comparable."""
    extrapolated: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Race:
    """All contenders on the same texts."""

    corpus: str
    texts: list[str]
    wanted: Found
    """The full answer."""
    taken: dict[str, Taken] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """For the JSON."""
        return {
            "corpus": self.corpus,
            "rows": len(self.texts),
            "threshold": THRESHOLD,
            "pairs": len(self.wanted),
            "contenders": {
                name: {
                    "seconds": taken.seconds,
                    "cpu_seconds": taken.cpu_seconds,
                    "extrapolated": taken.extrapolated,
                    "peak_mib": taken.peak_mib,
                    "pairs": None if taken.pairs is None else len(taken.pairs),
                    "recall": self.recall(name),
                    **taken.facts,
                }
                for name, taken in self.taken.items()
            },
        }

    def recall(self, name: str) -> float | None:
        """Share of the full answer that a contender found."""
        pairs = self.taken[name].pairs
        if pairs is None or not len(self.wanted):
            return None
        return float(np.isin(self.wanted, pairs).mean())


def run(settings: Settings) -> Report:
    """Race on headlines of all sizes, and on questions; or on those alone that are named."""
    notes = _missing()
    races = recorded("fast").get("races", []) if settings.only else []
    sizes = (20_000,) if settings.quick else SIZES
    files = [("headlines", "headlines.parquet", size) for size in sizes]
    files += [
        ("Quora questions", "qqp_questions.parquet", sizes[0] if settings.quick else QUESTIONS)
    ]
    files = [file for file in files if settings.wants(_named(file[0], file[2]))]
    student = tempfile.mkdtemp()
    in_fresh_process(make_student, headline_texts(sizes[0]), student)
    wanted = _answers([size for corpus, _, size in files if corpus == "headlines"])
    for corpus, file, size in files:
        texts = _texts(file, size)
        answer = wanted[size] if corpus == "headlines" else full_answer(texts)
        race = Race(corpus, texts, answer)
        contend(race, contenders(size) if corpus == "headlines" else [_FULL, _FAST], student)
        races = with_race(races, race.described())
    return report(races, notes, draw=not settings.quick)


def _answers(sizes: Sequence[int]) -> dict[int, Found]:
    """The full answer on the first headlines, of each size."""
    if not sizes:
        return {}
    most = max(sizes)
    found = full_answer(headline_texts(most))
    return {size: first_rows(found, most, size) for size in sizes}


def with_race(races: list[dict[str, Any]], race: dict[str, Any]) -> list[dict[str, Any]]:
    """Races with this one in the place of the earlier one on the same texts, in their order."""
    same = (race["corpus"], race["rows"])
    others = [other for other in races if (other["corpus"], other["rows"]) != same]
    return sorted([*others, race], key=lambda race: (race["corpus"] != "headlines", race["rows"]))


def _named(corpus: str, rows: int) -> str:
    return f"{rows:,} {corpus}"


def contenders(size: int) -> list[str]:
    """Who takes part with so many headlines."""
    names = [_FAST, _STUDENT, *([_SEMHASH] if not _missing() else []), _MINING]
    return [_FULL, *names] if size <= MOST_FULL else names[:2]


def contend(race: Race, names: Sequence[str], student: str) -> None:
    """Run contenders, each in a process of its own."""
    for name in names:
        race.taken[name] = in_fresh_process(_WORK[name], race.texts, student)
        say(f"{race.corpus} {len(race.texts):,} {name} {race.taken[name].seconds:.1f} s")


def report(races: list[dict[str, Any]], notes: list[str], *, draw: bool) -> Report:
    """All that was found; races as :meth:`Race.described` gives them."""
    if draw:
        _draw(races, RESULTS / "fast.svg")
    tables = [_table(race) for race in races]
    return Report("From texts to pairs", {"races": races}, tables,
                  [*notes, *_unanswered(races), *_notes()])  # fmt: skip


def _unanswered(races: list[dict[str, Any]]) -> list[str]:
    named = [_named(race["corpus"], race["rows"]) for race in races if race["pairs"] is None]
    said = "the full answer was not made; recall there is what the run itself estimates."
    return [f"{', '.join(named)}: {said}"] if named else []


def headline_texts(rows: int) -> list[str]:
    """Different headlines in the order of the file."""
    return _texts("headlines.parquet", rows)


def _texts(file: str, rows: int) -> list[str]:
    import polars as pl

    path = data_folder() / file
    if path.exists():
        texts = pl.read_parquet(path)["text"]
    else:
        texts = pl.read_csv(ROOT / "sample_data" / "questions.csv")["question"].drop_nulls()
    return texts.unique(maintain_order=True).head(rows).to_list()


def full_answer(texts: list[str], quick: Vectors | None = None) -> Found:
    """Every pair at the threshold by vectors in fp32, found through bf16 where that is fast.

    Args:
        texts: n different texts.
        quick: float32[n, d], vectors made in bf16; None: they are made, or read from the cache.
    """
    from sbert_cluster.encoder.device import has_bf16_products
    from sbert_cluster.encoder.encoder import Encoder
    from sbert_cluster.neighbors.join import find_pairs
    from sbert_cluster.options import EncodeOptions, Precision

    exact = Encoder.open(EncodeOptions(precision=Precision.FP32))
    if quick is None:
        precision = Precision.BF16 if has_bf16_products() else Precision.FP32
        quick = Encoder.open(EncodeOptions(precision=precision)).encode(texts).vectors
    near = find_pairs(quick, THRESHOLD - _MARGIN).pairs
    rows = np.unique(np.concatenate([near.left, near.right]))
    vectors = exact.encode([texts[row] for row in rows.tolist()]).vectors
    pairs = find_pairs(vectors, THRESHOLD).pairs
    return numbered(rows[pairs.left], rows[pairs.right], len(texts))


def numbered(left: NDArray[np.int64], right: NDArray[np.int64], rows: int) -> Found:
    """Pairs as numbers."""
    found: Found = np.unique(np.minimum(left, right) * rows + np.maximum(left, right))
    return found


def first_rows(found: Found, rows: int, size: int) -> Found:
    """The pairs among the first rows, numbered for them alone."""
    left, right = found // rows, found % rows
    inside = right < size
    return numbered(left[inside], right[inside], size)


def make_student(texts: list[str], folder: str) -> None:
    """A student of the default model, trained on these texts."""
    import polars as pl

    from sbert_cluster import distill

    frame = pl.DataFrame({"text": texts})
    distill(frame, output=Path(folder) / "student", rows=min(len(texts), 40_000))


def _full(texts: list[str], student: str) -> Taken:
    """A full run; where that takes long, encoding is extrapolated from a sample."""
    del student
    from sbert_cluster.encoder.encoder import Encoder
    from sbert_cluster.options import EncodeOptions

    encoder = Encoder.open(EncodeOptions(use_cache=False))
    loading = _timed(lambda: encoder.encode(texts[:64]))
    sample = _timed(lambda: encoder.encode(texts[64 : 64 + _SAMPLE]))
    expected = [a + b * len(texts) / _SAMPLE for a, b in zip(loading, sample, strict=True)]
    if expected[0] <= PATIENCE_S:
        return _dedup(texts)
    return Taken(expected[0], expected[1], peak_memory_mib(), extrapolated=True)


def _fast(texts: list[str], student: str) -> Taken:
    del student
    return _dedup(texts, fast=True)


def _student(texts: list[str], student: str) -> Taken:
    return _dedup(texts, model=str(Path(student) / "student"))


def _dedup(texts: list[str], **options: Any) -> Taken:
    """One run with an empty cache, importing and loading included."""
    begun, cpu = time.perf_counter(), time.process_time()
    import polars as pl

    from sbert_cluster import dedup

    frame = pl.DataFrame({"text": texts})
    with tempfile.TemporaryDirectory() as cache:
        result = dedup(frame, threshold=THRESHOLD, cache_dir=cache, **options)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    manifest, pairs = result.manifest, result.pairs
    facts = {"search": manifest.search, "timings_s": manifest.timings_s,
             "notes": list(manifest.notes), "removed": manifest.counts["removed"]}  # fmt: skip
    found = numbered(pairs.left, pairs.right, len(texts))
    return Taken(seconds, cpu, peak_memory_mib(), found, facts=facts)


def _semhash(texts: list[str], student: str) -> Taken:
    from model2vec import StaticModel
    from semhash import SemHash
    from tokenizers import Tokenizer

    from sbert_cluster.encoder.checkpoint import open_checkpoint
    from sbert_cluster.encoder.static import load_table

    folder = Path(student) / "student"
    begun, cpu = time.perf_counter(), time.process_time()
    table = load_table(open_checkpoint(str(folder)))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = StaticModel(table, tokenizer, normalize=True)
    index = SemHash.from_records(texts, model=model)
    result = index.self_deduplicate(threshold=THRESHOLD)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return Taken(seconds, cpu, peak_memory_mib(), facts={"removed": len(result.filtered)})


def _mining(texts: list[str], student: str) -> Taken:
    """``encode`` and ``paraphrase_mining_embeddings``, at least of a sample."""
    del student
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import paraphrase_mining_embeddings

    from sbert_cluster.encoder.locate import locate_model
    from sbert_cluster.options import DEFAULT_MODEL

    model = SentenceTransformer(str(locate_model(DEFAULT_MODEL)), device="cpu")
    model.encode(texts[:64])
    encode = _timed(lambda: model.encode(texts[:_SAMPLE]))
    few, n = min(_MINED, len(texts)), len(texts)
    random = torch.from_numpy(np.random.default_rng(0).normal(size=(few, 384)).astype(np.float32))
    unit = torch.nn.functional.normalize(random, dim=1)
    mine = _timed(lambda: paraphrase_mining_embeddings(unit))
    expected = [a * n / _SAMPLE + b * (n / few) ** 2 for a, b in zip(encode, mine, strict=True)]
    if expected[0] > PATIENCE_S:
        return Taken(expected[0], expected[1], peak_memory_mib(), extrapolated=True)
    found: list[tuple[int, int]] = []

    def run() -> None:
        vectors = model.encode(texts, convert_to_tensor=True)
        mined = paraphrase_mining_embeddings(vectors)
        found.extend((int(i), int(j)) for score, i, j in mined if score >= THRESHOLD)

    seconds, cpu = _timed(run)
    left, right = np.array(found, np.int64).reshape(-1, 2).T
    return Taken(seconds, cpu, peak_memory_mib(), numbered(left, right, n))


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and those of all threads."""
    begun, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun, time.process_time() - cpu


_WORK: dict[str, Callable[[list[str], str], Taken]] = {
    _FULL: _full,
    _FAST: _fast,
    _STUDENT: _student,
    _SEMHASH: _semhash,
    _MINING: _mining,
}


def _missing() -> list[str]:
    """A note where SemHash is not installed."""
    if all(importlib.util.find_spec(name) for name in ("semhash", "model2vec")):
        return []
    return ["SemHash is not installed (pip install semhash==0.5.0), so it is left out."]


def _table(race: dict[str, Any]) -> Table:
    rows = [
        [
            name,
            f"{'≈ ' if taken['extrapolated'] else ''}{taken['seconds']:,.1f}",
            f"{taken['cpu_seconds']:,.0f}",
            "" if taken["pairs"] is None else f"{taken['pairs']:,}",
            "" if taken["recall"] is None else f"{taken['recall']:.2%}",
            f"{taken['peak_mib']:,.0f}",
        ]
        for name, taken in race["contenders"].items()
    ]
    pairs = "" if race["pairs"] is None else f", {race['pairs']:,} pairs"
    title = f"{_named(race['corpus'], race['rows'])}, t = {THRESHOLD}{pairs}"
    return Table(title, ("", "seconds", "CPU seconds", "pairs", "of all pairs", "peak MiB"), rows)


def _draw(races: list[dict[str, Any]], path: Path) -> None:
    """Seconds against the number of headlines, as a picture."""
    shown = [race for race in races if race["corpus"] == "headlines"]
    lines = {
        name: [
            (race["rows"], race["contenders"][name]["seconds"])
            for race in shown
            if name in race["contenders"]
        ]
        for name in _WORK
    }
    draw_growth(path, f"From texts to pairs with similarity ≥ {THRESHOLD}", lines, _FAST)


def _notes() -> list[str]:
    return [
        "Each run in a fresh process with an empty cache; importing, loading and all that --fast "
        "prepares are included. Different texts in the order of the file; one run each.",
        "The full answer is that of fp32 vectors: rows of pairs that bf16 sees within 0.01 of the "
        "threshold, encoded again. Pairs of the program include texts of the same normal form.",
        "The student alone and SemHash compare by the student's similarity, so their pairs are "
        "others; what is compared is the time. The student was trained on the first headlines.",
        f"What is expected to take more than {PATIENCE_S:.0f} s is extrapolated: encoding from "
        f"{_SAMPLE:,} texts, mining from {_MINED:,} vectors with the square of their number.",
    ]
