"""Long work in a process of its own: requests come in as JSON lines, news go out as JSON lines.

The screen never waits for it, a crash in it ends nothing else, and what it loads (torch) is gone
when it ends. Run as ``python -m sbert_cluster.tui.task``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from sbert_cluster.errors import SbertClusterError

Record = dict[str, Any]


class Teller:
    """Writes news, progress at most ten times a second."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._last = 0.0

    def progress(self, stage: str, done: int, total: int | None, unit: str) -> None:
        """Tell how far a stage is."""
        now = time.monotonic()
        if now - self._last >= 0.1 or done == total:
            self._last = now
            self.say({"stage": stage, "done": done, "total": total, "unit": unit})

    def say(self, record: Record) -> None:
        """Tell anything."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()


def _dedup(request: Record, teller: Teller) -> Record:
    from sbert_cluster.pipeline.dedup import dedup

    result = dedup(request["inputs"], **request["options"], progress=teller.progress)
    return {"folder": request["options"]["output"], "pairs": len(result.pairs)}


def _groups(request: Record, teller: Teller) -> Record:
    from sbert_cluster.pipeline.groups import groups

    groups(request["inputs"], **request["options"], progress=teller.progress)
    return {"folder": request["options"]["output"]}


def _write(request: Record, teller: Teller) -> Record:
    from sbert_cluster.tui.models.run import Run

    run = Run.open(Path(request["folder"]))
    if run.command == "groups":
        from sbert_cluster.pipeline.edit_groups import describe_again

        describe_again(run.folder, progress=teller.progress)
        return {"folder": str(run.folder)}
    from sbert_cluster.tui.models.duplicates import DuplicatesModel
    from sbert_cluster.tui.models.result import write_duplicates

    return {"folder": str(write_duplicates(DuplicatesModel(run), teller.progress))}


def _split(request: Record, teller: Teller) -> Record:  # noqa: ARG001 - too quick to be told
    from sbert_cluster.pipeline.edit_groups import propose_split

    return {"parts": propose_split(request["folder"], request["cluster"]).parts}


def _nearest(request: Record, teller: Teller) -> Record:
    from sbert_cluster.tui.meaning import nearest

    rows, similarity = nearest(
        Path(request["folder"]), request["text"], request["count"], teller.progress
    )
    return {"rows": rows.tolist(), "similarity": similarity.tolist()}


def _calibrate(request: Record, teller: Teller) -> Record:
    work = module("calibrate")
    with _labels(request) as (labels, model):
        found = work.calibrate_threshold(labels, progress=teller.progress, model=model)
    return dict(found.calibration.to_dict())


def _train(request: Record, teller: Teller) -> Record:
    work = module("train")
    with _labels(request) as (labels, model):
        trained = work.train(
            labels, output=request["output"], model=model, progress=teller.progress
        )
    held_out = [{"before": one.before, "after": one.after} for one in trained.held_out]
    return {"folder": str(trained.output), "held_out": held_out}


@contextmanager
def _labels(request: Record) -> Iterator[tuple[Path, str]]:
    """The judged pairs of a run as a file, and the model of the run."""
    from sbert_cluster.tui.models.duplicates import DuplicatesModel
    from sbert_cluster.tui.models.result import LABELS, labels_csv
    from sbert_cluster.tui.models.run import Run

    run = Run.open(Path(request["folder"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / LABELS
        path.write_bytes(labels_csv(DuplicatesModel(run)).encode())
        yield path, run.arguments["model"]


def module(name: str) -> Any:
    """A part of the pipeline that an installation may lack.

    Raises:
        SbertClusterError: If it does.
    """
    try:
        return import_module(f"sbert_cluster.pipeline.{name}")
    except ModuleNotFoundError as error:
        raise SbertClusterError(
            f"this installation has no {name}", "Write the labels with w and use another one."
        ) from error


WORK: dict[str, Callable[[Record, Teller], Record]] = {
    "dedup": _dedup,
    "groups": _groups,
    "write": _write,
    "split": _split,
    "nearest": _nearest,
    "calibrate": _calibrate,
    "train": _train,
}
"""What can be asked for."""


def answer(request: Record, teller: Teller) -> None:
    """Do what is asked, and tell how it ended."""
    try:
        teller.say({"result": WORK[request["do"]](request, teller)})
    except SbertClusterError as error:
        teller.say({"problem": error.problem, "remedy": error.remedy})
    except Exception as error:  # noqa: BLE001 - the asking process must hear of every end
        problem = f"unexpected {type(error).__name__}: {error}"
        teller.say({"problem": problem, "remedy": "This is a bug."})


def main() -> None:
    """Answer requests until there are no more."""
    # Libraries print to stdout now and then; they must not come between the lines.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    teller = Teller(out)
    for line in sys.stdin:
        answer(json.loads(line), teller)


if __name__ == "__main__":
    main()
