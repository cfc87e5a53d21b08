"""Run tasks in threads: as many as isolation needs, and only while there is work.

A thread for each collector of each account would make 2,000 for 200 accounts with ten collectors, nearly all
of them idle.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.polling.job import Job

#: Maximum number of concurrent runs per account of the collectors that are off by default. With 200 accounts,
#: this limits the number of threads to 800: one each for instances and account, and these two.
SHARED_THREADS = 2


class Lane:
    """Runs tasks in at most `threads` threads; a thread ends when no task is left."""

    def __init__(self, threads: int) -> None:
        self._lock = threading.Lock()
        self._free = threads
        self._waiting: deque[Callable[[], None]] = deque()

    def submit(self, task: Callable[[], None], name: str) -> None:
        """Run `task` in a thread called `name`, as soon as one is free.

        Raises:
            RuntimeError: the system cannot start another thread.

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
            except BaseException as error:  # noqa: BLE001 - the tasks behind it must run
                trace = (type(error), error, error.__traceback__, threading.current_thread())
                threading.excepthook(threading.ExceptHookArgs(trace))
            with self._lock:
                following = self._waiting.popleft() if self._waiting else None
                self._free += following is None


class Lanes:
    """Assigns each job a lane: its own if it is on by default, else one shared per account."""

    def __init__(self) -> None:
        #: An idle lane is equivalent to a new one, so it may go as soon as none of its threads runs.
        self._lanes: WeakValueDictionary[tuple[str, str], Lane] = WeakValueDictionary()

    def of(self, job: Job) -> Lane:
        """Return the lane for the runs of `job`."""
        own = job.collector.enabled
        key = (job.account, job.collector.name if own else "")
        return self._lanes.setdefault(key, Lane(1 if own else SHARED_THREADS))
