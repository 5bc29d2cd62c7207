"""The program that fills the terminal: opens a run and shows the screen that fits it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from sbert_cluster.errors import RunFolderError, SbertClusterError
from sbert_cluster.tui.look import DARK, LIGHT
from sbert_cluster.tui.models.clusters import ClustersModel
from sbert_cluster.tui.models.duplicates import DuplicatesModel
from sbert_cluster.tui.models.run import Run
from sbert_cluster.tui.screens.base import RunScreen
from sbert_cluster.tui.screens.clusters import ClustersScreen
from sbert_cluster.tui.screens.duplicates import DuplicatesScreen
from sbert_cluster.tui.screens.help import HelpScreen

_RUBBISH_OBJECTS = 50_000
"""New objects after which Python looks for rubbish among them; a screen is drawn from thousands."""

Model = DuplicatesModel | ClustersModel


def open_model(folder: Path) -> Model:
    """Open a run folder.

    Raises:
        RunFolderError: If it holds no run that can be shown.
    """
    run = Run.open(folder)
    if run.command == "dedup":
        return DuplicatesModel(run)
    if run.command == "groups":
        return ClustersModel(run)
    raise RunFolderError(
        f"{folder} holds a run of {run.command!r}",
        "browse shows runs of dedup and groups.",
    )


class BrowseApp(App[None]):
    """Browse a run.

    Args:
        model: What is shown first.
        dark: Whether the dark theme is used.
    """

    CSS_PATH = "browse.tcss"
    TITLE = "sbert-cluster"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True)
    ]

    def __init__(self, model: Model, *, dark: bool = True) -> None:
        super().__init__()
        self.model = model
        self._dark = dark

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of our own, for Textual's themes as well."""
        return dict(DARK.variables)

    def on_mount(self) -> None:
        """Show the run."""
        # What is loaded now stays. Looking through it for rubbish, as Python does every few hundred
        # objects, would take a third of the time from a key to the screen.
        gc.freeze()
        gc.set_threshold(_RUBBISH_OBJECTS, 20, 100)
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name if self._dark else LIGHT.name
        self.push_screen(self._screen_of(self.model))

    def on_unmount(self) -> None:
        """Let other windows edit the run."""
        self.model.close()

    def _fatal_error(self) -> None:
        """End without a word: Textual would print local variables, in which people's texts are."""
        self._close_messages_no_wait()

    @property
    def failure(self) -> Exception | None:
        """The error that ended the program."""
        return self._exception

    def open_run(self, folder: Path) -> None:
        """Show another run in place of this one."""
        try:
            model = open_model(folder)
        except SbertClusterError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.model.close()
        self.model = model
        self.switch_screen(self._screen_of(model))

    def action_help(self) -> None:
        """Show every key of the screen."""
        own = [binding for binding in self.screen.BINDINGS if isinstance(binding, Binding)]
        if isinstance(self.screen, RunScreen):
            own += [b for b in RunScreen.BINDINGS if isinstance(b, Binding)]
        names = {"DuplicatesScreen": "Duplicates", "ReviewScreen": "Review"}
        title = names.get(type(self.screen).__name__, "Keys")
        self.push_screen(HelpScreen(title, own))

    def action_other_theme(self) -> None:
        """Between light and dark."""
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every key of the screen is a command as well."""
        yield from super().get_system_commands(screen)
        for binding in screen.BINDINGS:
            if isinstance(binding, Binding) and binding.description:
                yield SystemCommand(
                    binding.description,
                    f"key {binding.key_display or binding.key}",
                    self._runner(screen, binding.action),
                )

    @staticmethod
    def _runner(screen: Screen[object], action: str) -> Callable[[], Coroutine[Any, Any, Any]]:
        return lambda: screen.run_action(action)

    @staticmethod
    def _screen_of(model: Model) -> RunScreen:
        return (
            DuplicatesScreen(model) if isinstance(model, DuplicatesModel) else ClustersScreen(model)
        )
