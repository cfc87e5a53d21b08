"""Threads for runs: as many as isolation needs, and only while something runs.

A thread for each collector of each account would be 2,000 for 200 accounts with ten collectors. Nearly all of
them would only wait.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.polling.job import Job

#: Runs at the same time of those collectors of one account that are not on by default. With 200 accounts this
#: makes at most 800 threads: one each for instances and credit, and these.
SHARED_THREADS = 2


class Lane:
    """Runs tasks in at most `threads` threads, each of which ends when there is nothing more to run."""

    def __init__(self, threads: int) -> None:
        self._lock = threading.Lock()
        self._free = threads
        self._waiting: deque[Callable[[], None]] = deque()

    def submit(self, task: Callable[[], None], name: str) -> None:
        """Run `task` in a thread, called `name`, as soon as one is free.

        Raises:
            RuntimeError: the system gives no more threads.

        """
        with self._lock:
            if not self._free:
                self._waiting.append(task)
                return
            self._free -= 1
        try:
            threading.Thread(target=self._work, args=(task,), name=name, daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._free += 1
            raise

    def _work(self, task: Callable[[], None]) -> None:
        following: Callable[[], None] | None = task
        while following is not None:
            try:
                following()
            except BaseException as error:  # noqa: BLE001 - what waits behind it has to run
                trace = (type(error), error, error.__traceback__, threading.current_thread())
                threading.excepthook(threading.ExceptHookArgs(trace))
            with self._lock:
                following = self._waiting.popleft() if self._waiting else None
                self._free += following is None


class Lanes:
    """The lane of each job: one of its own for what is on by default, one for the rest of an account."""

    def __init__(self) -> None:
        #: An idle lane is like a new one: it goes as soon as none of its threads runs.
        self._lanes: WeakValueDictionary[tuple[str, str], Lane] = WeakValueDictionary()

    def of(self, job: Job) -> Lane:
        """Return the lane in which the runs of `job` go."""
        own = job.collector.enabled
        key = (job.account, job.collector.name if own else "")
        return self._lanes.setdefault(key, Lane(1 if own else SHARED_THREADS))
