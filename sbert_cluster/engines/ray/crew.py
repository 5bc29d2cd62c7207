"""Actors that keep something loaded, and are replaced when they die."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sbert_cluster.errors import EngineError

ATTEMPTS = 3
"""Deaths during one call before it is taken for their cause."""


class CallKills(EngineError):
    """A call during which its actor died again and again."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"the process that has to {method} texts died {ATTEMPTS} times",
            "If memory is short, use fewer --workers; Ray's logs in /tmp/ray tell more.",
        )


@dataclass(eq=False)
class Call:
    """Something that an actor was asked to do."""

    method: str
    arguments: tuple[Any, ...]
    deaths: int = 0
    """Actors that died while they did it."""
    ref: Any = None
    member: _Member | None = None


@dataclass(eq=False)
class _Member:
    actor: Any
    calls: list[Call] = field(default_factory=list)
    """What was asked and not fetched yet, in order: the actor does one after the other."""


class Crew:
    """Some actors of a kind, each doing one call after the other.

    Args:
        make: Starts an actor.
        size: How many.
    """

    def __init__(self, make: Callable[[], Any], size: int) -> None:
        self._make = make
        self._members = [_Member(make()) for _ in range(size)]

    def __len__(self) -> int:
        return len(self._members)

    def send(self, method: str, *arguments: Any, deaths: int = 0) -> Call:
        """Ask the least busy actor to do something.

        Args:
            method: Of the actor.
            *arguments: Its arguments.
            deaths: Deaths that it is blamed for already.
        """
        call = Call(method, arguments, deaths)
        self._send(call)
        return call

    def result(self, call: Call) -> Any:
        """Wait for what a call returns.

        Raises:
            CallKills: If actors die of it.
        """
        import ray

        while call.deaths < ATTEMPTS:
            try:
                result = ray.get(call.ref)
            except ray.exceptions.RayTaskError as error:
                # The work itself failed, as it would have here.
                raise getattr(error, "cause", error) from None
            except ray.exceptions.RayError:
                assert call.member
                self._replace(call.member)
            else:
                assert call.member
                call.member.calls.remove(call)
                return result
        raise CallKills(call.method)

    def close(self) -> None:
        """End all actors."""
        import ray

        for member in self._members:
            ray.kill(member.actor)
        self._members.clear()

    def _send(self, call: Call) -> None:
        member = min(self._members, key=lambda m: len(self._waiting(m)))
        call.member = member
        call.ref = getattr(member.actor, call.method).remote(*call.arguments)
        member.calls.append(call)

    def _waiting(self, member: _Member) -> list[Call]:
        """Calls that are not done."""
        import ray

        if not member.calls:
            return []
        refs = [call.ref for call in member.calls]
        done, _ = ray.wait(refs, num_returns=len(refs), timeout=0, fetch_local=False)
        finished = set(done)
        return [call for call in member.calls if call.ref not in finished]

    def _replace(self, member: _Member) -> None:
        """Another actor does what this one has left; the call that it was at gets the blame."""
        import ray

        # What the dead one did not do counts as done for Ray: it is known to have failed.
        lost = [call for call in member.calls if _is_lost(call)]
        ray.kill(member.actor)
        place = self._members.index(member)
        self._members[place] = fresh = _Member(self._make())
        fresh.calls = [call for call in member.calls if call not in lost]
        for call in fresh.calls:
            call.member = fresh
        for call in lost:
            call.deaths += call is lost[0]
            if call.deaths < ATTEMPTS:
                self._send(call)


def _is_lost(call: Call) -> bool:
    """Whether nothing will come of a call."""
    import ray

    try:
        ray.get(call.ref, timeout=0)
    except ray.exceptions.RayTaskError:
        return False
    except ray.exceptions.RayError:
        return True
    return False
