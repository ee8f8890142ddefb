"""How far a run is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO


class Progress(Protocol):
    """Counts finished cases."""

    def advance(self, cases: int) -> None:
        """Say that more cases are finished."""


class Silent:
    """Shows nothing."""

    def advance(self, cases: int) -> None:
        """Do nothing."""


class Lines:
    """A plain line now and then, for logs."""

    def __init__(self, total: int, done: int, stream: TextIO, every_s: float = 10.0) -> None:
        self._total, self._done, self._start_done = total, done, done
        self._stream, self._every_s = stream, every_s
        self._start = self._last = time.monotonic()

    def advance(self, cases: int) -> None:
        """Print a line if the last one is long ago or the work is finished."""
        self._done += cases
        now = time.monotonic()
        if now - self._last >= self._every_s or self._done >= self._total:
            self._last = now
            print(self._line(now - self._start), file=self._stream, flush=True)

    def _line(self, elapsed_s: float) -> str:
        measured = self._done - self._start_done
        left_s = elapsed_s / measured * (self._total - self._done) if measured else 0.0
        tail = f", about {_duration(left_s)} left" if self._done < self._total else f" in {_duration(elapsed_s)}"
        return f"measured {self._done} of {self._total} cases{tail}"


@contextmanager
def show_progress(total: int, done: int = 0, *, stream: TextIO | None = None) -> Iterator[Progress]:
    """Give a bar with time left on a terminal, plain lines elsewhere. Everything goes to standard error."""
    stream = sys.stderr if stream is None else stream
    if not stream.isatty():
        yield Lines(total, done, stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("measuring"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("cases, left"),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(file=stream)) as bar:
        task = bar.add_task("", total=total, completed=done)

        class Bar:
            def advance(self, cases: int) -> None:
                bar.advance(task, cases)

        yield Bar()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
