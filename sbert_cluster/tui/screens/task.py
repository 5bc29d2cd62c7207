"""A box that shows how far some work is, and what is asked of another process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label, ProgressBar, Static

from sbert_cluster.errors import SbertClusterError, UsageError
from sbert_cluster.runs import EDITS
from sbert_cluster.tui.messages import TaskTold
from sbert_cluster.tui.models.duplicates import DuplicatesModel
from sbert_cluster.tui.models.log import Record
from sbert_cluster.tui.models.run import Run
from sbert_cluster.tui.screens.base import RunScreen
from sbert_cluster.tui.tasks import Task


class TaskScreen(ModalScreen[Record | SbertClusterError | None]):
    """Runs one request; is left with its result, its error, or None if it was stopped.

    Args:
        title: What is done.
        request: For :class:`Task`.
        helper: A process that stays for further requests; None: one for this request alone.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "stop", "Stop")]

    def __init__(self, title: str, request: Record, helper: Task | None = None) -> None:
        super().__init__()
        self._heading, self._request = title, request
        self._work = helper or Task()
        self._stays = helper is not None

    def compose(self) -> ComposeResult:
        """A title, a stage and a bar."""
        with Vertical(id="box"):
            yield Label(self._heading, id="title", markup=False)
            yield Static("starting", id="stage", markup=False)
            yield ProgressBar(show_eta=False)
            yield Label("esc stops it", id="hint", markup=False)

    def on_mount(self) -> None:
        """Begin."""
        self._run_request()

    @work
    async def _run_request(self) -> None:
        """Wait for the other process; what it says becomes messages."""
        end: Record | SbertClusterError
        try:
            end = await self._work.ask(self._request, self._hear)
        except SbertClusterError as error:
            end = error
        if not self._stays:
            await self._work.stop()
        self.dismiss(end)

    def _hear(self, news: Record) -> None:
        self.post_message(TaskTold(news))

    @on(TaskTold)
    def _told(self, event: TaskTold) -> None:
        news = event.said
        total = news["total"]
        done = f"{news['done']:,}" if total is None else f"{news['done']:,} of {total:,}"
        self.query_one("#stage", Static).update(f"{news['stage']}: {done} {news['unit']}")
        self.query_one(ProgressBar).update(total=total, progress=news["done"])

    async def action_stop(self) -> None:
        """Give up."""
        self.workers.cancel_node(self)
        await self._work.stop()
        self.dismiss(None)


def ask(
    screen: RunScreen,
    title: str,
    request: Record,
    then: Callable[[Record], None],
    helper: Task | None = None,
) -> None:
    """Have work done, and go on with its result; errors are told."""

    def ended(end: Record | SbertClusterError | None) -> None:
        if isinstance(end, SbertClusterError):
            screen.tell_error(end)
        elif end is not None:
            then(end)

    screen.app.push_screen(TaskScreen(title, request, helper), ended)


def write_result(screen: RunScreen, run: Run, then: Callable[[], None] = lambda: None) -> None:
    """Write what the edits make of a run."""

    def written(result: Record) -> None:
        screen.tell(f"Written: {result['folder']}")
        then()

    ask(screen, "Writing the result", {"do": "write", "folder": str(run.folder)}, written)


def search_below(screen: RunScreen, model: DuplicatesModel, text: str) -> None:
    """Search again with a lower threshold, and show that run, with all that was decided."""
    try:
        threshold = _threshold(text, model.floor)
        options = _options(model.run, threshold)
        inputs = _inputs(model.run)
    except SbertClusterError as error:
        screen.tell_error(error)
        return
    request = {"do": "dedup", "inputs": inputs, "options": options}

    def found(result: Record) -> None:
        folder = Path(result["folder"])
        log = model.run.folder / EDITS
        if log.exists():
            shutil.copyfile(log, folder / EDITS)
        screen.app.call_later(screen.app.open_run, folder)  # type: ignore[attr-defined]

    ask(screen, f"Searching all pairs at or above {threshold:g}", request, found)


def _threshold(text: str, floor: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value < floor:
        raise UsageError(
            f"{text!r} is no threshold below {floor:g}", "Type a similarity such as 0.75."
        )
    return value


def _options(run: Run, threshold: float) -> dict[str, Any]:
    """The arguments of the run with another threshold."""
    given = run.arguments
    names = ("keep", "grouping", "model", "prompt", "dimensions", "long_texts", "device")
    options = {name: given[name] for name in (*names, "precision", "batch_tokens", "cache")}
    stem = run.folder.name.removesuffix(".dedup")
    return {
        **options,
        "threshold": threshold,
        "text_column": list(run.text_columns),
        "id_column": run.id_column,
        "vector_column": run.vector_column,
        "output": str(run.folder.with_name(f"{stem}-{threshold:g}.dedup")),
    }


def _inputs(run: Run) -> list[str]:
    """Where the input lies now, and that it is still the same."""
    import hashlib

    paths = []
    for file in run.manifest.get("input", {}).get("files", []):
        given = Path(str(file["path"]))
        places = [given, run.folder.parent / given.name]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise UsageError(f"the input {given} is not there", "Start browse where it lies.")
        with found.open("rb") as opened:
            same = hashlib.file_digest(opened, "sha256").hexdigest() == file["sha256"]
        if not same:
            raise UsageError(f"{found} has changed since the run", "Run dedup on it again.")
        paths.append(str(found))
    if not paths:
        raise UsageError("the run does not tell its input", "Run dedup again.")
    return paths
