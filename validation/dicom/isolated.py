"""Decoding with GDCM in a process of its own.

Only GDCM reads JPEG Lossless among the libraries whose licence this project accepts, and GDCM ends the whole process
on some damaged files (an uncaught C++ exception). A run must survive that, so a helper process decodes, and when it
dies the file is refused and the next file gets a new helper.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt


class Died(RuntimeError):
    """The helper process ended while it decoded."""


class Helper:
    """A helper process that decodes one file at a time; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: BinaryIO | None = None

    def decode(self, path: Path) -> npt.NDArray[Any]:
        """Return the stored values of a DICOM file, decoded by GDCM.

        Raises
        ------
        Died
            If the helper process died.
        RuntimeError
            If GDCM refused the file.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            process, answers = self._process, self._answers
            if process is None or process.stdin is None or answers is None:
                raise Died("no helper process")
            try:
                process.stdin.write(json.dumps(str(path.absolute())).encode() + b"\n")
                process.stdin.flush()
                head = json.loads(answers.readline() or b"{}")
                data = answers.read(int(head.get("size", 0)))
            except (BrokenPipeError, ValueError):
                head, data = {}, b""
            if "error" in head:
                raise RuntimeError(head["error"])
            if not head or len(data) != int(head["size"]):
                self.close()
                raise Died("the decoder ended")
        array: npt.NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
        return array

    def close(self) -> None:
        """End the helper process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
        if self._answers is not None:
            self._answers.close()
        self._process = self._answers = None

    def _start(self) -> None:
        self.close()
        reading, writing = os.pipe()  # not standard output, on which decoders print
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this package's own module
                [sys.executable, "-m", __name__, str(writing)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(writing,),
            )
        finally:
            os.close(writing)
        self._answers = os.fdopen(reading, "rb")


HELPER = Helper()
atexit.register(HELPER.close)


def _serve(output: BinaryIO) -> None:
    """Decode each path that arrives on standard input and write the array as NPY."""
    from pydicom.pixels import utils

    for line in sys.stdin:
        try:
            array = utils.pixel_array(json.loads(line), raw=True, decoding_plugin="gdcm")
            stream = io.BytesIO()
            np.save(stream, array, allow_pickle=False)
            data, head = stream.getvalue(), {"size": str(stream.tell())}
        except Exception as error:
            data, head = b"", {"error": type(error).__name__}
        output.write(json.dumps(head).encode() + b"\n" + data)
        output.flush()


if __name__ == "__main__":
    with os.fdopen(int(sys.argv[1]), "wb") as _pipe:
        _serve(_pipe)
