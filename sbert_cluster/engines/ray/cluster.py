"""A Ray cluster: started here for one run, or joined."""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sbert_cluster.errors import EngineError, UsageError
from sbert_cluster.meter import available_cores, versions
from sbert_cluster.options import EngineOptions

_LOOK_S = 5.0
"""Seconds after which the machines of a cluster are looked up again."""
_KNOCK_S = 10.0
"""Seconds that a cluster has to take a connection."""
_START_S = 120
"""Seconds that machines have to answer at first; they may still be loading Python."""


@dataclass(frozen=True)
class Machine:
    """A machine of the cluster that is alive."""

    name: str
    """Ray's name of the node."""
    cores: int
    """Cores that it offers."""
    slots: int
    """Units that it may work on at a time."""

    @property
    def room(self) -> int:
        """Units that may be on their way to it.

        Where all cores are ours, one unit waits behind each that runs, and its blocks travel
        meanwhile. Otherwise Ray would start the waiting ones as well.
        """
        return 2 * self.slots if self.slots == self.cores else self.slots


@dataclass
class Cluster:
    """What there is to work with."""

    workers: int | None = None
    """Units of work at a time; None: one for each core."""
    _machines: list[Machine] = field(default_factory=list)
    _looked: float = -_LOOK_S

    @property
    def machines(self) -> list[Machine]:
        """The machines that are alive; looked up again now and then, since they come and go."""
        if not self._machines or time.monotonic() - self._looked > _LOOK_S:
            self.look_again()
        return self._machines

    def look_again(self) -> None:
        """Look up the machines."""
        import ray

        alive = {
            str(node["NodeID"]): int(node["Resources"].get("CPU", 0))
            for node in ray.nodes()
            if node["Alive"]
        }
        cores = {name: count for name, count in sorted(alive.items()) if count}
        self._machines = [Machine(n, cores[n], s) for n, s in _shared_out(cores, self.workers)]
        self._looked = time.monotonic()

    @property
    def slots(self) -> int:
        """Units of work at a time."""
        return max(1, sum(machine.slots for machine in self.machines))

    @property
    def gpus(self) -> int:
        """GPUs of all machines."""
        import ray

        return int(ray.cluster_resources().get("GPU", 0))


def _shared_out(cores: dict[str, int], workers: int | None) -> list[tuple[str, int]]:
    """So many workers shared out to machines evenly, none getting more than it has cores."""
    left = sum(cores.values()) if workers is None else min(workers, sum(cores.values()))
    slots = dict.fromkeys(cores, 0)
    while left:
        for name, count in cores.items():
            if left and slots[name] < count:
                slots[name] += 1
                left -= 1
    return [(name, count) for name, count in slots.items() if count]


@contextmanager
def connected(options: EngineOptions) -> Iterator[Cluster]:
    """Join the cluster that the options name, or start one on this machine.

    A cluster that was joined already, by the program that calls this one, is used and left alone.

    Raises:
        UsageError: If Ray is not installed, no cluster answers, or its machines have another
            version of this package.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "--engine ray needs Ray, which is not installed",
            "Install it with: pip install 'sbert-cluster[ray]'",
        )
    own = _join(options)
    cluster = Cluster(options.workers)
    traces = _session_folder() if own else None
    try:
        _get_ready(cluster, check=not own)
        yield cluster
        if traces:
            # Logs, and blocks for which memory was too small. After an error they may tell why.
            _end()
            shutil.rmtree(traces, ignore_errors=True)
    finally:
        if own is not None:
            _end()


def _end() -> None:
    import ray

    ray.shutdown()


def _session_folder() -> str | None:
    """Where the cluster that was started here keeps its files, if Ray tells."""
    import ray

    node = getattr(ray._private.worker, "_global_node", None)
    return None if node is None else str(node.get_session_dir_path())


def _join(options: EngineOptions) -> bool | None:
    """Join or start; True: started, False: joined, None: somebody else had joined before."""
    # Texts are private: no word of this run leaves the machines that were chosen for it.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Otherwise Ray warns of what it will do about GPUs one day.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = options.address or os.environ.get("RAY_ADDRESS")
    if address in (None, "local") and "ray" not in sys.modules:
        # Its ports are open to the network; only who has the token may use them.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    if ray.is_initialized():
        return None
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address in (None, "local"):
        settings |= {"num_cpus": options.workers or available_cores(), "include_dashboard": False}
    try:
        _knock(address)
        ray.init(address=address or "local", **settings)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"no Ray cluster can be used at {address or 'this machine'} ({why.rstrip('.')})",
            "Start one with ray start --head, or leave out --address to use this machine alone.",
        ) from error
    return address in (None, "local")


def _knock(address: str | None) -> None:
    """See whether anybody listens at an address; Ray itself would try for minutes.

    Raises:
        OSError: If nobody does.
    """
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()


def _get_ready(cluster: Cluster, *, check: bool) -> None:
    """Let workers load what they need while rows are read, and see that it is the same everywhere.

    Raises:
        UsageError: If a machine has another version of this package, or none.
        EngineError: If no machine offers a core.
    """
    import ray

    if not cluster.machines:
        raise EngineError(
            "no machine of the Ray cluster offers a core",
            "Add machines to it, or leave out --address to use this one alone.",
        )
    task = ray.remote(_load)
    flying = {
        task.options(num_cpus=1, max_retries=0, scheduling_strategy=on(m.name)).remote(): m.name
        for m in cluster.machines
        for _ in range(m.slots)
    }
    if not check:
        return
    for ref, name in flying.items():
        try:
            version = ray.get(ref, timeout=_START_S)
        except ray.exceptions.GetTimeoutError:
            return  # busy with the work of others
        except ray.exceptions.RayError as error:
            # The first line tells least, and the last one what is missing.
            version = f"none that can be loaded ({str(error).strip().splitlines()[-1]})"
        if version != (ours := _version()):
            raise UsageError(
                f"this is sbert-cluster {ours}, but node {name} of the cluster has {version}",
                "Install the same version on every machine.",
            )


def _load() -> str:
    """Load what comparing tiles needs; the version of this package."""
    from sbert_cluster.neighbors import join, native

    del join
    native.warm_up()
    return _version()


def _version() -> str:
    return versions().get("sbert-cluster", "not installed")


def on(machine: str) -> Any:
    """The wish to run on a machine; elsewhere if it is gone."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(machine, soft=True)
