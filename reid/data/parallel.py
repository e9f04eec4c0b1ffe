"""Work on many images at once, in order, with a report of progress."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["Progress", "map_in_order", "progress_lines"]

Progress = Callable[[str, int, int], None]
"""Called as (what is being done, items done, items in all)."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Large enough that handing out work costs nothing, small enough that progress moves.
_CHUNK = 64
_SECONDS_A_LINE = 10.0


def map_in_order(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    what: str,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[_Result]:
    """Apply `function` to every item on several threads and yield the results in the order of the items.

    Threads, because Pillow lets go of the interpreter while it decodes and resizes: on two cores, 6,000
    Market-1501 images took 1.31 s in one thread, 0.83 s in two and 1.11 s in two processes. At most two
    chunks per thread wait to be taken, so memory does not grow with the dataset.

    Args:
        function: called on many threads.
        items: handed out in chunks.
        what: said to `progress`.
        workers: threads, >= 1; None takes one per core that this process may use.
        progress: called in the thread of the caller.
    """
    threads = workers or len(os.sched_getaffinity(0))
    chunks = (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
    done = 0
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[_Result]]] = deque()
        try:
            while True:
                room = 2 * threads - len(waiting)
                waiting.extend(pool.submit(_apply, function, chunk) for chunk in islice(chunks, room))
                if not waiting:
                    return
                results = waiting.popleft().result()
                yield from results
                done += len(results)
                if progress is not None:
                    progress(what, done, len(items))
        finally:
            for future in waiting:
                future.cancel()


def progress_lines(say: Callable[[str], None]) -> Progress:
    """Progress in lines, one every ten seconds: of work that takes less nothing is said.

    Args:
        say: told each line.
    """
    last = time.monotonic()

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_A_LINE and done < total:
            last = now
            say(f"{what}: {done} of {total} images")

    return tell


def _apply(function: Callable[[_Item], _Result], chunk: Sequence[_Item]) -> list[_Result]:
    return [function(item) for item in chunk]
