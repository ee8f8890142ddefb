"""Reading cases ahead in the background, so that the model does not wait for the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from validation.errors import DataProblem

T = TypeVar("T")


def read_ahead(
    load: Callable[[str], T], case_ids: Sequence[str], *, ahead: int = 4, threads: int = 2
) -> Iterator[tuple[str, T | DataProblem]]:
    """Yield each case in order, or the problem that made it unreadable.

    At most ``ahead`` cases are held besides the one being used, whatever their number. Problems other than
    :class:`~validation.errors.DataProblem` are defects and are raised.
    """
    waiting: deque[tuple[str, Future[T | DataProblem]]] = deque()
    remaining = iter(case_ids)
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="case-reader") as pool:
        try:
            for case_id in remaining:
                waiting.append((case_id, pool.submit(_attempt, load, case_id)))
                if len(waiting) > ahead:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def _attempt(load: Callable[[str], T], case_id: str) -> T | DataProblem:
    try:
        return load(case_id)
    except DataProblem as problem:
        return problem
