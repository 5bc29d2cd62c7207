"""Stages that work at the same time: one prepares, one computes, one puts away.

Each stage is a context that gives an iterator. It holds an item or two at a time, so memory stays
bounded; an error in a thread comes out of the iterator; and when the context ends, however it ends,
its threads have ended too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_IN_FLIGHT = 2
"""Items for each worker: the one it works on, and one more so that it need not wait."""


@contextmanager
def ahead(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """Make each item in a thread while the one before is used; the first is begun at once.

    Args:
        items: Run in the thread alone.
    """
    with ThreadPoolExecutor(1, "ahead") as pool:

        def begin() -> Future[list[T]]:
            # One item or none: StopIteration cannot pass through a future.
            return pool.submit(lambda: list(islice(items, 1)))

        yield _following(begin(), begin)


def _following(coming: Future[list[T]], begin: Callable[[], Future[list[T]]]) -> Iterator[T]:
    while made := coming.result():
        coming = begin()
        yield from made


@contextmanager
def spread(
    items: Iterator[T], workers: Sequence[Callable[[T], R]]
) -> Iterator[Iterator[tuple[T, R]]]:
    """Work on items with all workers at once, each in its own thread; one worker needs no thread.

    Args:
        items: Taken by the thread that iterates.
        workers: Any of them may get any item.

    Yields:
        Items with their results, in the order of the items.
    """
    if len(workers) == 1:
        (alone,) = workers
        yield ((item, alone(item)) for item in items)
        return
    pool = ThreadPoolExecutor(len(workers), "spread")
    try:
        yield _in_order(items, pool, workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(
    items: Iterator[T], pool: ThreadPoolExecutor, workers: Sequence[Callable[[T], R]]
) -> Iterator[tuple[T, R]]:
    idle: SimpleQueue[Callable[[T], R]] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def work(item: T) -> R:
        # There are as many threads as workers, so one is always idle.
        worker = idle.get()
        try:
            return worker(item)
        finally:
            idle.put(worker)

    flying: deque[tuple[T, Future[R]]] = deque()
    for item in items:
        flying.append((item, pool.submit(work, item)))
        if len(flying) == _IN_FLIGHT * len(workers):
            first, result = flying.popleft()
            yield first, result.result()
    for first, result in flying:
        yield first, result.result()


@contextmanager
def behind(items: Iterable[T], put_away: Callable[[T], None]) -> Iterator[Iterator[T]]:
    """Put each item away in a thread while the next one is made; hand it on once that is done.

    What has been handed on is therefore put away for good; at most one item is on its way, and it
    arrives even where the context ends with an error.

    Args:
        items: Taken by the thread that iterates.
        put_away: Called with one item after the other, never with two at once.
    """
    with ThreadPoolExecutor(1, "behind") as pool:
        yield _once_done(items, lambda item: pool.submit(put_away, item))


def _once_done(items: Iterable[T], begin: Callable[[T], Future[None]]) -> Iterator[T]:
    last: tuple[T, Future[None]] | None = None
    for item in items:
        if last:
            last[1].result()
            # Before the next one is begun, so that no more than one is ever away but not told.
            yield last[0]
        last = item, begin(item)
    if last:
        last[1].result()
        yield last[0]
