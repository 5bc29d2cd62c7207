"""How a run that is under way is told."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from sbert_cluster.report.terminal import ProgressDisplay


def log() -> Console:
    """A console that is no terminal."""
    return Console(file=StringIO(), width=60, markup=False, force_terminal=False)


def told(target: Console) -> list[str]:
    """Lines that were printed."""
    assert isinstance(target.file, StringIO)
    return target.file.getvalue().splitlines()


def test_log_gets_one_closing_line_per_stage() -> None:
    """A quick stage is one plain line in a log."""
    target = log()
    with ProgressDisplay(target) as display:
        for done in range(0, 1001, 100):
            display.update("encoding", done, 1000, "texts")
        display.update("comparing", 60, 60, "rows")
    lines = told(target)
    assert [line.split(":")[0] for line in lines] == ["encoding", "comparing"]
    assert lines[0].startswith("encoding: 1,000 texts in ")
    assert "\x1b" not in "".join(lines)


def test_log_gets_a_line_per_interval() -> None:
    """A slow stage says how far it is, how fast, and how long it will take."""
    target = log()
    with ProgressDisplay(target, interval_s=0) as display:
        display.update("encoding", 500, 1000, "texts")
        display.update("encoding", 1000, 1000, "texts")
    under_way, closing = told(target)
    assert under_way.startswith("encoding: 500 of 1,000 texts (50%), ")
    assert under_way.endswith(" left")
    assert closing.startswith("encoding: 1,000 texts in ")


def test_what_a_resumed_run_finds_done_took_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine tenths lay in the cache: pace and time left are those of the rest, as it goes lately."""
    target, clock = log(), [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with ProgressDisplay(target, interval_s=10) as display:
        clock[0] += 3
        display.update("encoding", 9_000, 10_000, "texts")
        for second in range(1, 50):
            clock[0] += 1
            # Twice as fast from the tenth second on.
            done = 9_000 + 5 * second + 5 * max(0, second - 10)
            display.update("encoding", done, 10_000, "texts")
    lines = told(target)
    assert lines[0] == "encoding: 9,035 of 10,000 texts (90%), 5.0/s, 3 min 13 s left"
    assert lines[4] == "encoding: 9,420 of 10,000 texts (94%), 10/s, 58 s left"


def test_stage_of_unknown_length_ends_when_the_next_begins() -> None:
    """Without a total, the beginning of another stage or the end closes it."""
    target = log()
    with ProgressDisplay(target) as display:
        display.update("reading", 5, None, "rows")
        display.update("encoding", 1, None, "texts")
    assert [line.split(" in ")[0] for line in told(target)] == [
        "reading: 5 rows",
        "encoding: 1 text",
    ]


def test_a_stage_that_comes_twice_is_told_twice() -> None:
    """A second file that is read opens its stage again."""
    target = log()
    with ProgressDisplay(target) as display:
        for rows in (10, 20):
            display.update("reading", 0, rows, "rows")
            display.update("reading", rows, rows, "rows")
            display.update("reading", rows, rows, "rows")
    assert [line.split(" in ")[0] for line in told(target)] == [
        "reading: 10 rows",
        "reading: 20 rows",
    ]


def test_quiet_says_nothing() -> None:
    """With quiet there is no output at all."""
    target = log()
    with ProgressDisplay(target, quiet=True) as display:
        display.update("encoding", 1000, 1000, "texts")
    assert told(target) == []


def test_an_interrupted_stage_is_not_called_done() -> None:
    """An error leaves no closing line."""
    target = log()

    def work() -> None:
        with ProgressDisplay(target) as display:
            display.update("encoding", 10, 1000, "texts")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert told(target) == []


def test_bytes_are_told_in_megabytes() -> None:
    """Nobody reads bytes one by one."""
    target = log()
    with ProgressDisplay(target) as display:
        display.update("reading", 12_500_000, 12_500_000, "bytes")
    assert told(target)[0].startswith("reading: 12.5 MB in ")


@pytest.mark.parametrize("width", [60, 120])
def test_terminal_keeps_a_line_for_each_finished_stage(width: int) -> None:
    """On a terminal bars come and go, and finished stages stay."""
    target = Console(file=StringIO(), width=width, force_terminal=True, force_interactive=True)
    with ProgressDisplay(target) as display:
        display.update("encoding", 10, 1000, "texts")
        display.update("encoding", 1000, 1000, "texts")
        display.update("comparing", 1, None, "rows")
    shown = "\n".join(told(target))
    assert "✓" in shown
    assert "encoding: 1,000 texts in" in shown
    assert "comparing: 1 row in" in shown
