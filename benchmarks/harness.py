"""What all benchmarks share: the machine, alternating repeats, fresh processes, and reports."""

from __future__ import annotations

import datetime
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, TypeVar

ROOT = Path(__file__).resolve().parent.parent
"""The repository."""
RESULTS = ROOT / "benchmarks" / "results"
"""Where results are kept."""
KEPT_VARIABLE = "SBERT_CLUSTER_BENCH_KEPT"
"""Environment variable that names a folder for what long benchmarks found so far, so that one that
was cut off goes on, and for the models that they trained."""

_CAPABILITIES = ("amx", "avx", "asimd", "bf16", "dot", "f16", "i8mm", "neon", "sve")
_PEERS = ("sentence-transformers", "scipy")

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How a benchmark is run."""

    quick: bool
    """A few texts only, to see that it works."""
    repeats: int
    """Times that each contender runs."""
    device: str = "cpu"
    """``cpu`` or ``cuda``."""
    only: tuple[str, ...] = ()
    """Parts of names of races that are run; the others stay as recorded. Empty: all are run."""

    def wants(self, race: str) -> bool:
        """Whether a race is to be run."""
        return not self.only or any(part in race for part in self.only)


@dataclass(frozen=True)
class Table:
    """A table for people."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Report:
    """What a benchmark found."""

    title: str
    results: dict[str, Any]
    """Every figure, for the JSON; no text of any corpus."""
    tables: list[Table]
    notes: list[str] = field(default_factory=list)
    """Everything that was left out, extrapolated or guessed."""


@dataclass
class Timed(Generic[T]):
    """The repeats of one contender."""

    seconds: list[float]
    result: T
    """What the last repeat returned."""

    @property
    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)


def alternate(contenders: Mapping[str, Callable[[], T]], repeats: int) -> dict[str, Timed[T]]:
    """Time contenders in turn, so that a slow minute of the machine meets all of them.

    Each round starts one contender later than the round before, since the one that runs after a
    rest, or after a heavy neighbour, meets another clock rate.

    Args:
        contenders: Name → work, warmed up already.
        repeats: Rounds.
    """
    names = list(contenders)
    timed: dict[str, Timed[T]] = {}
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            begun = time.perf_counter()
            result = contenders[name]()
            seconds = time.perf_counter() - begun
            say(f"round {turn + 1}/{repeats}  {name}  {seconds:.2f} s")
            earlier = timed[name].seconds if name in timed else []
            timed[name] = Timed([*earlier, seconds], result)
    return {name: timed[name] for name in names}


def enough(work: Callable[[list[str]], object], texts: list[str], seconds: float) -> list[str]:
    """The first of the texts, as many as the work takes about the given time for."""
    work(texts[:32])
    probe = texts[:256]
    begun = time.perf_counter()
    work(probe)
    rate = len(probe) / (time.perf_counter() - begun)
    return texts[: max(64, round(rate * seconds / 64) * 64)]


def draw_growth(
    path: Path, title: str, lines: Mapping[str, Sequence[tuple[int, float]]], ours: str
) -> None:
    """Seconds against the number of headlines, both logarithmic, as a picture.

    Args:
        path: Of the picture.
        title: Above it.
        lines: Points of each contender; one without any is left out, and keeps its colour.
        ours: The contender that stands out.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, (name, points) in enumerate(lines.items()):
        if not points:
            continue
        style: dict[str, Any] = (
            {"linewidth": 2.6, "color": "#1b6ca8"}
            if name == ours
            # C0 is blue as well.
            else {"linewidth": 1.2, "color": f"C{number or 7}"}
        )
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name, **style)
    axes.set(xscale="log", yscale="log", xlabel="headlines", ylabel="seconds (2 cores)")
    sizes = sorted({size for points in lines.values() for size, _ in points})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.set_title(title, loc="left")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def in_fresh_process(work: Callable[..., T], *arguments: Any) -> T:
    """Call a module-level function in a new Python process that has imported nothing else."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


def peak_memory_mib() -> float:
    """The most memory that this process has held, in MiB."""
    # The operating system's own figure (getrusage) starts with what the parent process held.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    from sbert_cluster.meter import peak_memory_bytes

    return peak_memory_bytes() / 2**20


def machine(device: str) -> dict[str, Any]:
    """What the figures depend on."""
    import psutil
    import torch

    from sbert_cluster.meter import versions

    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return {
        "capabilities": sorted(
            name for name, has in capabilities.items() if has is True and _is_arithmetic(name)
        ),
        "cores": {"logical": os.cpu_count(), "physical": psutil.cpu_count(logical=False)},
        "cpu": _cpu_model(),
        "gpu": torch.cuda.get_device_name(0) if device == "cuda" else None,
        "load_average": _load_average(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "os": f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "versions": {**versions(), **{name: version(name) for name in _PEERS}},
    }


def save(
    report: Report, settings: Settings, begun: dict[str, Any], folder: Path, name: str
) -> Path:
    """Write a report as JSON; ``begun`` describes the machine before the run."""
    load = {"before": begun["load_average"], "after": _load_average()}
    content = {
        "benchmark": report.title,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": {**begun, "load_average": load},
        "notes": report.notes,
        "results": report.results,
        "settings": asdict(settings),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, default=float)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def recorded(name: str) -> dict[str, Any]:
    """The results of a benchmark that are kept so far; empty where there are none."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["results"]
    return found


def print_report(report: Report) -> None:
    """Print a report as Markdown."""
    print(f"## {report.title}\n")
    for table in report.tables:
        print(f"### {table.title}\n")
        print(_row(table.headers))
        print(_row(["---", *["---:"] * (len(table.headers) - 1)]))
        print("\n".join(map(_row, table.rows)), end="\n\n")
    for note in report.notes:
        print(f"- {note}")
    print(flush=True)


def kept(name: str, work: Callable[[], T]) -> T:
    """What a long piece of work found, kept on disk where a folder for that is named.

    Args:
        name: Of the piece; what is found under it is not worked out again.
        work: Gives something that JSON can hold.
    """
    folder = os.environ.get(KEPT_VARIABLE)
    if not folder:
        return work()
    path = Path(folder) / f"{name}.json"
    if path.exists():
        found: T = json.loads(path.read_text(encoding="utf-8"))
        return found
    made = work()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made), encoding="utf-8")
    say(f"{name}: {made}")
    return made


def say(line: str) -> None:
    """Tell how far a benchmark is."""
    print(line, file=sys.stderr, flush=True)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _is_arithmetic(capability: str) -> bool:
    return any(part in capability for part in _CAPABILITIES)


def _load_average() -> list[float]:
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else []


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
