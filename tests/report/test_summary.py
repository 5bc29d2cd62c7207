"""What stands on the terminal when a run is done."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.console import Console

from sbert_cluster.report.terminal import console, print_error, print_summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from sbert_cluster.types import DedupResult

    MakeResult = Callable[..., DedupResult]


def summary(result: DedupResult, width: int = 80, destination: str | None = None) -> str:
    """The summary as a terminal without colours shows it."""
    target = Console(file=StringIO(), width=width, markup=False, highlight=False)
    print_summary(result, target, destination)
    assert isinstance(target.file, StringIO)
    return target.file.getvalue()


def test_headline_and_certificate(make_result: MakeResult) -> None:
    """The numbers that matter come first, and how far they can be trusted."""
    shown = summary(make_result())
    assert "17 rows → 9 kept, 8 removed in 7 groups" in shown
    assert "found as exact 1 · semantic 7" in shown
    assert "Every one of 136 pairs of distinct texts was compared; 3 pairs lie within" in shown
    assert "2 texts are longer than the model reads (256 tokens)" in shown
    assert "1 row is empty" in shown


def test_one_pair_is_no_pairs(make_result: MakeResult) -> None:
    result = make_result()
    search = {**result.manifest.search, "pairs_possible": 1, "borderline": 0}
    shown = summary(replace(result, manifest=replace(result.manifest, search=search)))
    assert "The one pair of distinct texts was compared." in shown


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_summary_fits_and_stays_aligned(make_result: MakeResult, width: int) -> None:
    """No line is wider than the terminal, whatever the script, and columns stay in place."""
    lines = summary(make_result(), width).splitlines()
    assert max(cell_len(line) for line in lines) <= width
    header = next(line for line in lines if "lowest" in line)
    row = next(line for line in lines if "パスワード" in line)
    assert cell_len(row[: row.index("パ")]) == header.index("kept")
    if width >= 100:
        second = row.index("パ", row.index("パ") + 1)
        assert cell_len(row[:second]) == header.index("one removed")


def test_summary_lets_no_text_act(make_result: MakeResult) -> None:
    """No escape sequence or direction control from a text or a note reaches the terminal."""
    shown = summary(make_result(), 200)
    assert not set(shown) & set("\x1b\x07\x9b\u202e\u2066\u200f\u2028\ud800")
    assert "␛[31m" in shown
    assert "[bold]markup[/bold]" in shown


def test_many_groups_are_not_all_listed(make_result: MakeResult) -> None:
    """The table is short and says how many groups it leaves out."""
    shown = summary(make_result([(f"text {i}", [f"Text {i}"]) for i in range(30)]))
    assert "and 22 more groups" in shown


def test_no_duplicates(make_result: MakeResult) -> None:
    """Without duplicates there is no table."""
    shown = summary(make_result([]))
    assert "2 rows, no duplicates" in shown
    assert "lowest" not in shown


def test_against_another_file(make_result: MakeResult) -> None:
    """Rows are said to repeat a row of the other file, whose text is shown as kept."""
    shown = summary(make_result(against=True), 140)
    assert "8 rows of desk.csv repeat a row of train.csv; 2 of 10 do not" in shown
    assert "pairs of a text in desk.csv and a text in train.csv" in shown
    assert "パスワードを忘れました。" in shown


def test_vectors_without_texts(make_result: MakeResult) -> None:
    """Where there is no text, a row's id or number stands for it."""
    result = make_result(with_ids=True)
    assert "T-0" in summary(replace(result, texts=[""] * len(result.texts)))


def test_approximate_search_tells_its_recall(make_result: MakeResult) -> None:
    """A search that was not complete says what it measured."""
    result = make_result()
    search = {
        "exhaustive": False,
        "pairs_possible": 2000,
        "pairs_compared": 100,
        "recall": (0.99, 0.98, 0.995),
    }
    shown = summary(replace(result, manifest=replace(result.manifest, search=search)), 200)
    assert "100 of 2,000 pairs were compared" in shown
    assert "99.0 % (95 % interval 98.0 % to 99.5 %)" in shown


def test_destination(make_result: MakeResult, tmp_path: Path) -> None:
    """The page to open is named on one line, however long its path."""
    folder = tmp_path / ("very long name " * 8)
    assert f"written  {folder}\n" in summary(make_result(), 60, str(folder))
    folder.mkdir()
    (folder / "report.html").touch()
    assert f"report  {folder / 'report.html'}\n" in summary(make_result(), 60, str(folder))


def test_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """An error goes to stderr alone, unwrapped and escaped."""
    print_error("column 'a\x1b[2J\nb' " + "is not there " * 20, "Use another.")
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("sbert-cluster: error: column 'a␛[2J⏎b' is not there")
    assert err.endswith(". Use another.\n")
    assert err.count("\n") == 1


def test_console_reads_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets and emoji codes are printed as they are, on stderr."""
    console().print("[red]:smile: 12 /tmp[/red]")
    assert capsys.readouterr() == ("", "[red]:smile: 12 /tmp[/red]\n")
