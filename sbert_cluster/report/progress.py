"""How far a run is: live bars on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from threading import RLock
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID
from rich.text import Text

from sbert_cluster.report.escape import plain
from sbert_cluster.report.figures import duration

_RECENT_S = 30.0
"""Pace and time left are those of the last seconds: what a resumed run finds done took no time."""


@dataclass
class _Stage:
    """What is known about one stage."""

    name: str
    unit: str
    started: float
    done: int = 0
    total: int | None = None
    told: float | None = None
    closed: bool = False
    task: TaskID | None = None
    recent: deque[tuple[float, int]] = field(default_factory=deque)
    """When how much was done, about once a second, the first time from before ``_RECENT_S`` on."""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def pace(self) -> float:
        """Units a second, lately; over the whole stage where this is the first that is heard."""
        since, before = self.recent[0] if len(self.recent) > 1 else (self.started, 0)
        return (self.done - before) / max(time.monotonic() - since, 1e-3)

    def note(self, done: int) -> None:
        """Take note of what is done by now."""
        self.done, now = done, time.monotonic()
        if not self.recent or now - self.recent[-1][0] >= 1:
            self.recent.append((now, done))
        while len(self.recent) > 2 and now - self.recent[1][0] > _RECENT_S:
            self.recent.popleft()


class ProgressDisplay:
    """Shows how far each stage is; :meth:`update` is the callback that the pipeline takes.

    On a terminal there is a bar for every stage under way, and one line stays for each that is
    finished. Elsewhere there is at most a line per stage and interval, and a closing one.

    Args:
        console: Where to show it; made by :func:`sbert_cluster.report.terminal.console`.
        quiet: Show nothing.
        interval_s: Seconds between two lines about one stage, where there are no bars.
    """

    def __init__(self, console: Console, *, quiet: bool = False, interval_s: float = 5.0) -> None:
        self._console = console
        self._quiet = quiet
        self._interval_s = interval_s
        self._stages: dict[str, _Stage] = {}
        self._lock = RLock()
        self._bars: Progress | None = None
        self._idle_since = time.monotonic()

    def __enter__(self) -> ProgressDisplay:
        self._idle_since = time.monotonic()
        if self._console.is_interactive and not self._quiet:
            self._bars = _bars(self._console)
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            if error is None:
                self._close_open_stages()
            if self._bars:
                self._bars.stop()

    def update(self, stage: str, done: int, total: int | None, unit: str) -> None:
        """Take note that ``done`` of ``total`` units of a stage are done.

        Args:
            stage: Name as a verb, such as ``encoding``.
            done: Units done since the stage began.
            total: Units there are; None where that is not known.
            unit: Plural noun, such as ``texts``.
        """
        if self._quiet:
            return
        with self._lock:
            current = self._stages.get(stage)
            is_over = total is not None and done >= total
            if current is None or (current.closed and not is_over):
                current = self._open(stage, unit, has_begun=done > 0)
            current.note(done)
            current.total = total
            if is_over:
                self._close(current)
            else:
                self._show(current)

    def _open(self, name: str, unit: str, *, has_begun: bool) -> _Stage:
        # A stage of unknown length cannot say itself that it is over.
        for earlier in self._stages.values():
            if earlier.total is None:
                self._close(earlier)
        # A stage whose first word comes after some work began when the one before it ended.
        started = self._idle_since if has_begun else time.monotonic()
        stage = self._stages[name] = _Stage(name, unit, started)
        if self._bars:
            stage.task = self._bars.add_task(name, total=None, unit=unit)
        return stage

    def _show(self, stage: _Stage) -> None:
        if self._bars and stage.task is not None:
            self._bars.update(stage.task, completed=stage.done, total=stage.total)
        elif not self._bars and self._is_due(stage):
            stage.told = time.monotonic()
            self._console.print(plain(_line_under_way(stage)), soft_wrap=True)

    def _is_due(self, stage: _Stage) -> bool:
        since = stage.started if stage.told is None else stage.told
        return time.monotonic() - since >= self._interval_s

    def _close_open_stages(self) -> None:
        for stage in self._stages.values():
            self._close(stage)

    def _close(self, stage: _Stage) -> None:
        if stage.closed:
            return
        stage.closed = True
        self._idle_since = time.monotonic()
        if self._bars and stage.task is not None:
            self._bars.remove_task(stage.task)
        line = Text.assemble(("✓ ", "green"), plain(_closing_line(stage)))
        self._console.print(line if self._bars else plain(_closing_line(stage)), soft_wrap=True)


def _bars(console: Console) -> Progress:
    width = max(8, min(30, console.width - 56))
    columns = (SpinnerColumn(), _Name(), BarColumn(bar_width=width), _Details())
    return Progress(*columns, console=console)


class _Name(ProgressColumn):
    """The stage's name."""

    def render(self, task: Task) -> Text:
        return plain(task.description)


class _Details(ProgressColumn):
    """Done of total, pace and time left."""

    max_refresh = 0.25

    def render(self, task: Task) -> Text:
        total = None if task.total is None else int(task.total)
        said = [_amount(int(task.completed), total, str(task.fields["unit"]))]
        if task.speed:
            said.append(_pace(task.speed, str(task.fields["unit"])))
        if task.time_remaining:
            said.append(f"{duration(task.time_remaining)} left")
        return plain(" · ".join(said))


def _amount(done: int, total: int | None, unit: str) -> str:
    if unit == "bytes":
        return (
            f"{done / 1e6:,.1f} MB"
            if total is None
            else f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB"
        )
    if total is None:
        return f"{done:,} {unit.removesuffix('s') if done == 1 else unit}"
    return f"{done:,} of {total:,} {unit}"


def _pace(per_second: float, unit: str) -> str:
    if unit == "bytes":
        return f"{per_second / 1e6:,.1f} MB/s"
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.1f}/s"


def _line_under_way(stage: _Stage) -> str:
    line = f"{stage.name}: {_amount(stage.done, stage.total, stage.unit)}"
    pace = stage.pace
    if not pace:
        return line
    if stage.total is None:
        return f"{line}, {_pace(pace, stage.unit)}"
    share = f"{stage.done / stage.total:.0%}"
    left = duration((stage.total - stage.done) / pace)
    return f"{line} ({share}), {_pace(pace, stage.unit)}, {left} left"


def _closing_line(stage: _Stage) -> str:
    seconds = stage.seconds
    line = f"{stage.name}: {_amount(stage.done, None, stage.unit)} in {duration(seconds)}"
    # A pace measured over an instant, or over a handful of things, says nothing.
    telling = seconds >= 0.5 and stage.done >= 10
    return f"{line} ({_pace(stage.done / seconds, stage.unit)})" if telling else line
