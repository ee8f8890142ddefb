"""Give documents to processes that print them, and collect the answers in the order of the questions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

from validation import errors
from validation.dossier.worker import Printed, Printer, Task
from validation.errors import RunProblem, ValidationProblem


class Pool:
    """Print documents of one run in several processes; with one worker, in this process.

    Parameters
    ----------
    run_folder, staging
        The run, and the folder that finished files go into.
    workers
        Number of processes.
    edition
        Folder of an edition whose narrative blocks count instead of those of the run.
    """

    def __init__(self, run_folder: Path, staging: Path, *, workers: int, edition: Path | None = None) -> None:
        places = (run_folder.resolve(), staging, *([edition.resolve()] if edition else []))
        self._places = [str(place) for place in places]
        self._workers = workers
        self._own = Printer(run_folder, staging, edition) if workers < 2 else None
        self._running: list[subprocess.Popen[str]] = []
        self._free: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()

    def __enter__(self) -> Pool:
        """Start the processes."""
        if self._own is None:
            for _ in range(self._workers):
                process = self._start()
                self._running.append(process)
                self._free.put(process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the processes end; on an error, end them."""
        for process in self._running:
            if kind is not None:
                process.kill()
            if process.stdin is not None:
                with suppress(BrokenPipeError):  # it died before it had read everything
                    process.stdin.close()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def run(self, tasks: list[Task]) -> list[Printed]:
        """Print documents that do not depend on each other; the answers are in the order of the tasks.

        Raises
        ------
        ValidationProblem
            The first problem, by the order of the tasks, that a document met.
        RunProblem
            DOS-013 if a process ended without an answer.
        """
        if self._own is not None:
            return [self._own.run(task) for task in tasks]
        with ThreadPoolExecutor(self._workers) as threads:
            return list(threads.map(self._ask, tasks))

    def _start(self) -> subprocess.Popen[str]:
        path = os.pathsep.join(entry for entry in sys.path if entry)
        command = [sys.executable, "-P", "-m", "validation.dossier.worker", *self._places]
        return subprocess.Popen(  # noqa: S603 - this interpreter and this package
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        )

    def _ask(self, task: Task) -> Printed:
        process = self._free.get()
        try:
            if process.stdin is None or process.stdout is None:
                raise _ended(task)
            try:
                process.stdin.write(json.dumps(asdict(task)) + "\n")
                process.stdin.flush()
            except BrokenPipeError:
                raise _ended(task) from None
            line = process.stdout.readline()
        finally:
            self._free.put(process)
        if not line:
            raise _ended(task)
        answer = json.loads(line)
        if "problem" in answer:
            kind: type[ValidationProblem] = getattr(errors, answer["kind"])
            raise kind(**answer["problem"])
        return Printed(pages=answer["pages"], findings=answer["findings"])


def _ended(task: Task) -> RunProblem:
    return RunProblem(
        "a process that prints documents ended before its document was finished.",
        code="DOS-013",
        where=task.document,
        why="The dossier would lack a document.",
        action="Look at the message above; if memory ran out, free some and render again.",
    )
