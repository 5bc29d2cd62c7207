"""Where training stands, on disk: a folder that is there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbert_cluster.errors import RunFolderError

if TYPE_CHECKING:
    import torch

_STATE, _TENSORS = "state.json", "tensors.safetensors"


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds."""

    state: dict[str, Any]
    """Step, scores and whatever else fits into JSON."""
    tensors: dict[str, torch.Tensor]
    """Weights, Adam's averages, and the best weights so far."""


class Checkpoints:
    """The checkpoints of one training; only the newest is kept.

    Args:
        folder: Where they lie; made when the first one is written.
        identity: What the training depends on: a checkpoint of another one is not taken.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder, self._identity = folder, identity

    def save(self, step: int, saved: Saved) -> None:
        """Write a checkpoint. A kill at any moment leaves the one before in its place.

        Raises:
            RunFolderError: If it cannot be written.
        """
        from safetensors.torch import save_file

        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(prefix=".step-", suffix=".tmp", dir=self._folder))
            try:
                save_file({k: t.contiguous() for k, t in saved.tensors.items()}, work / _TENSORS)
                state = {**saved.state, "identity": self._identity}
                (work / _STATE).write_text(json.dumps(state), encoding="utf-8")
                _to_disk(work / _TENSORS, work / _STATE)
                target = self._folder / f"step-{step:09}"
                shutil.rmtree(target, ignore_errors=True)
                work.rename(target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        except OSError as error:
            raise RunFolderError(
                f"cannot write a checkpoint to {self._folder} ({error.strerror or error})",
                "Free some space, or name another place with --output.",
            ) from error
        for old in self._complete()[:-1]:
            shutil.rmtree(old, ignore_errors=True)

    def load(self) -> Saved | None:
        """The newest checkpoint; None: there is none.

        Raises:
            RunFolderError: If it belongs to another training.
        """
        from safetensors.torch import load_file

        found = self._complete()
        if not found:
            return None
        state = json.loads((found[-1] / _STATE).read_text(encoding="utf-8"))
        if state.pop("identity") != self._identity:
            raise RunFolderError(
                f"{self._folder} holds a training that was cut off, with other data or options",
                "Give the same command to go on, or add --overwrite to start over.",
            )
        return Saved(state, load_file(found[-1] / _TENSORS))

    def clear(self) -> None:
        """Delete all of them."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _complete(self) -> list[Path]:
        return sorted(self._folder.glob("step-*")) if self._folder.is_dir() else []


def _to_disk(*paths: Path) -> None:
    """Wait until the files are on the disk: a rename may otherwise outlive what it names."""
    for path in paths:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
