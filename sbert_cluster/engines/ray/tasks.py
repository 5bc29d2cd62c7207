"""Many tasks, a bounded number at a time, each tried again when its worker dies."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from sbert_cluster.engines.ray.cluster import Cluster, Machine
from sbert_cluster.errors import EngineError

U = TypeVar("U", bound=Hashable)

ATTEMPTS = 4
"""Times that a unit is tried before it is given up."""
_PATIENCE_S = 120.0
"""Seconds that a cluster without any core has to get one."""
_WAIT_S = 5.0
"""Seconds after which the machines are looked up even if nothing has finished."""


class Source(Protocol[U]):
    """Where units come from."""

    def take(self, machine: str) -> U | None:
        """A unit for this machine; None: there is none left."""

    def put_back(self, unit: U) -> None:
        """A unit that was taken, and failed."""


class Tasks(Generic[U]):
    """Runs the units of a source.

    Args:
        cluster: Where.
        source: What.
        submit: Starts a unit on a machine and returns Ray's reference to its result.
        describe: What a unit is, for an error.
    """

    def __init__(
        self,
        cluster: Cluster,
        source: Source[U],
        submit: Callable[[U, str], Any],
        describe: Callable[[U], str],
    ) -> None:
        self._cluster, self._source, self._submit = cluster, source, submit
        self._describe = describe
        self._flying: dict[Any, tuple[U, str]] = {}
        self._failures: Counter[U] = Counter()

    def run(self) -> Iterator[tuple[U, Any]]:
        """Units with their results, as they come.

        Raises:
            EngineError: If a unit fails again and again.
        """
        import ray

        try:
            while self._fill():
                ready, _ = ray.wait(list(self._flying), timeout=_WAIT_S)
                for ref in ready:
                    unit, _ = self._flying.pop(ref)
                    try:
                        result = ray.get(ref)
                    except ray.exceptions.RayTaskError as error:
                        # The work itself failed, as it would have here.
                        raise getattr(error, "cause", error) from None
                    except ray.exceptions.RayError as error:
                        self._failed(unit, error)
                    else:
                        yield unit, result
        finally:
            for ref in self._flying:
                ray.cancel(ref, force=True)

    def _fill(self) -> bool:
        """Give every machine as much as it has room for; whether anything is on its way."""
        busy = Counter(machine for _, machine in self._flying.values())
        # One to each in turn, so that the first machine does not get everything.
        machines = self._cluster.machines or self._arriving()
        while machines:
            taking = [m for m in machines if busy[m.name] < m.room]
            machines = []
            for machine in taking:
                unit = self._source.take(machine.name)
                if unit is None:
                    return bool(self._flying)
                self._flying[self._submit(unit, machine.name)] = unit, machine.name
                busy[machine.name] += 1
                machines.append(machine)
        return bool(self._flying)

    def _arriving(self) -> list[Machine]:
        """Wait for machines where all are gone.

        Raises:
            EngineError: If none comes.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            time.sleep(1)
            self._cluster.look_again()
            if self._cluster.machines:
                return self._cluster.machines
        raise EngineError(
            f"no machine of the cluster has offered a core for {_PATIENCE_S:.0f} seconds",
            "Add machines and run the same command again: it goes on with what is finished.",
        )

    def _failed(self, unit: U, error: Exception) -> None:
        self._failures[unit] += 1
        self._cluster.look_again()
        if self._failures[unit] < ATTEMPTS:
            self._source.put_back(unit)
            return
        raise EngineError(
            f"{self._describe(unit)} failed {ATTEMPTS} times ({type(error).__name__})",
            "If memory is short, use fewer --workers; Ray's logs in /tmp/ray tell more.",
        ) from error
