"""Asks another process for long work, and listens to it without waiting."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sbert_cluster.errors import SbertClusterError

Record = dict[str, Any]


class Task:
    """A process that answers one request after the other (see :mod:`sbert_cluster.tui.task`)."""

    def __init__(self) -> None:
        self._process: Process | None = None

    async def ask(self, request: Record, hear: Callable[[Record], None]) -> Record:
        """Ask for something.

        Args:
            request: ``{"do": name, …}``.
            hear: Told the progress, ``{"stage", "done", "total", "unit"}``.

        Returns:
            The result.

        Raises:
            SbertClusterError: What went wrong.
        """
        process = await self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request).encode() + b"\n")
        await process.stdin.drain()
        while line := await process.stdout.readline():
            said: Record = json.loads(line)
            if "result" in said:
                return dict(said["result"])
            if "problem" in said:
                raise SbertClusterError(said["problem"], said["remedy"])
            hear(said)
        self._process = None
        raise SbertClusterError(
            "the work ended without a result", "There may be too little memory."
        )

    async def stop(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _started(self) -> Process:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "sbert_cluster.tui.task",
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                limit=1 << 26,
            )
        return self._process
