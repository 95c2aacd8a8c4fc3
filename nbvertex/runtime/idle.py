"""Ends the workers that libraries keep for a next call, where they have nothing to do: nobody can tell that they were."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

_TRACKERS = ("multiprocessing.resource_tracker", "joblib.externals.loky.backend.resource_tracker", "loky.backend.resource_tracker")  # fmt: skip
_LOKY = ("joblib.externals.loky.reusable_executor", "loky.reusable_executor")


def dismiss() -> None:
    """End idle pools of threads and processes, and then the processes that clear up behind them."""
    for find in (_loky_pools, _thread_pools, _process_pools, _multiprocessing_pools, _trackers):
        try:
            for end in list(find()):
                end()
        except Exception:  # these are other people's insides: what cannot be ended is told as left behind
            continue


def _loky_pools() -> Iterator[Callable[[], Any]]:
    for name in _LOKY:
        pool = getattr(sys.modules.get(name), "_executor", None)
        if pool is not None and not pool._pending_work_items:
            yield functools.partial(pool.shutdown, wait=True, kill_workers=True)


def _thread_pools() -> Iterator[Callable[[], Any]]:
    module = sys.modules.get("concurrent.futures.thread")
    for thread in list(getattr(module, "_threads_queues", ())):
        pool = thread._args[0]()
        if (
            pool is not None
            and pool._idle_semaphore._value == len(pool._threads)
            and pool._work_queue.empty()
        ):
            yield pool.shutdown


def _process_pools() -> Iterator[Callable[[], Any]]:
    module = sys.modules.get("concurrent.futures.process")
    for manager in list(getattr(module, "_threads_wakeups", ())):
        pool = manager.executor_reference()
        if pool is not None and not pool._pending_work_items:
            yield pool.shutdown


def _multiprocessing_pools() -> Iterator[Callable[[], Any]]:
    module = sys.modules.get("multiprocessing.pool")
    if module is not None:
        for thing in gc.get_objects():
            if type(thing) in (module.Pool, module.ThreadPool) and not thing._cache:
                yield thing.terminate


def _trackers() -> Iterator[Callable[[], Any]]:
    for name in _TRACKERS:
        tracker = getattr(sys.modules.get(name), "_resource_tracker", None)
        if tracker is not None and tracker._pid is not None:
            yield tracker._stop
