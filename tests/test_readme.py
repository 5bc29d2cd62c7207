"""The README keeps its promises: its commands run, its Python runs, its flags exist."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from sbert_cluster.cli.main import run

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = [line[2:] for block in CONSOLE for line in block.splitlines() if line.startswith("$ ")]
PROGRAM = "sbert-cluster "
SETUP = ("make ", "git clone ", "cd ", "pip install ")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with the sample data, as after a clone."""
    shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def leaving_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal UI opens without a terminal, and is left by its own key."""
    from sbert_cluster.tui.app import BrowseApp

    open_for_good = BrowseApp.run

    async def leave(pilot):
        await pilot.press("q")

    monkeypatch.setenv("TEXTUAL_DRIVER", "none")
    monkeypatch.setattr(
        BrowseApp, "run", lambda app: open_for_good(app, headless=True, auto_pilot=leave)
    )


@pytest.mark.usefixtures("place", "leaving_at_once")
def test_every_command_runs(capfd):
    """Each ``sbert-cluster`` command of the README ends well, one after the other."""
    ours = [command for command in COMMANDS if command.startswith(PROGRAM)]
    assert len(ours) >= 5
    for command in ours:
        code = run(shlex.split(command)[1:])
        assert code == 0, f"{command}: {capfd.readouterr().err}"


def test_no_other_commands_are_shown():
    """Every command is either ours or one of the known steps of setting up."""
    for command in COMMANDS:
        assert command.startswith((PROGRAM, *SETUP)), command


def test_make_targets_exist():
    """Each ``make`` target that the README names is in the Makefile."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in COMMANDS:
        if command.startswith("make "):
            assert command.split()[1] in targets


@pytest.mark.usefixtures("place")
def test_python_runs():
    """The Python of the README runs as it stands."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


@pytest.mark.usefixtures("place")
def test_shown_output_is_what_the_program_says(capfd):
    """The figures of the first example are those that the program prints today."""
    block = next(b for b in CONSOLE if "dedup sample_data/questions.csv" in b)
    shown = re.search(r"^1,261 rows .*$", block, re.MULTILINE)
    assert shown
    assert run(["dedup", "sample_data/questions.csv", "--threshold", "0.9", "--overwrite"]) == 0
    assert shown.group() in capfd.readouterr().err


def test_every_flag_is_real(capfd):
    """Each flag that the README mentions belongs to some command."""
    names = (
        "dedup", "groups", "browse", "search", "embed", "train", "distill", "calibrate",
        "evaluate", "info",
    )  # fmt: skip
    for command in ([], *([name] for name in names)):
        assert run([*command, "--help"]) == 0
    known = capfd.readouterr().out
    ours = re.sub(r"`textual [^`]*`", "", README)  # another program, with flags of its own
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours)):
        assert flag in known, flag
