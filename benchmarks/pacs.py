"""Throughput with a real archive: objects per second, over DICOMweb and DIMSE, beside DCMTK's storescu and getscu.

Starts Debian's Orthanc on loopback with a series of CT slices and measures, each three times, the best kept::

    python benchmarks/pacs.py [--objects 100 --size 512]

Peers run in the same call against the same archive. Prints seconds, objects and MB per second, and ratios.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    import numpy as np

    from tests.dicom import making, orthanc
    from validation.dicom.confidentiality import profile
    from validation.dicom.pacs.open import open_channel
    from validation.dicom.pacs.pull import pull
    from validation.dicom.pacs.query import Query
    from validation.dicom.pacs.settings import load_server

    rng = np.random.default_rng(1)

    def full_size(_i: int, ds: object) -> None:
        ds.Rows = ds.Columns = arguments.size  # type: ignore[attr-defined]
        pixels = rng.integers(-1024, 2000, (arguments.size, arguments.size)).astype("<i2")
        ds.PixelData = pixels.tobytes()  # type: ignore[attr-defined]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        making.write_series(folder / "source", n=arguments.objects, edit=full_size)
        files = sorted((folder / "source").iterdir())
        megabytes = sum(p.stat().st_size for p in files) / 1e6
        (folder / "archive").mkdir()
        archive = orthanc.start(folder / "archive")
        peer = ["-aec", "ORTHANC", "-aet", "VALIDATION", "127.0.0.1", str(archive.dimse)]
        rows: list[tuple[str, float]] = []

        def best(label: str, run: Callable[[Path], None], *, empty: bool) -> None:
            times = []
            for k in range(3):
                if empty:
                    archive.empty()
                target = folder / f"{label.replace(' ', '-')}-{k}"
                began = time.perf_counter()
                run(target)
                times.append(time.perf_counter() - began)
                shutil.rmtree(target, ignore_errors=True)
            rows.append((label, min(times)))

        try:
            server = load_server(archive.settings(folder / "pacs.yaml"))

            def store(via: str) -> Callable[[Path], None]:
                def run(_target: Path) -> None:
                    refused: list[str] = []
                    with open_channel(server, via) as channel:
                        channel.store(files, lambda _p, reason: refused.append(reason) if reason else None)
                    assert not refused

                return run

            def fetch(via: str, *, clean: bool) -> Callable[[Path], None]:
                def run(target: Path) -> None:
                    with open_channel(server, via) as channel:
                        if clean:
                            pull(channel, Query(modality="CT"), target, key=bytes(32), options=profile("cohort"))
                        else:
                            listed = channel.find_instances(channel.find_series(Query(modality="CT"))[0])
                            channel.fetch(listed, lambda _i, _d: None)

                return run

            def getscu(target: Path) -> None:
                target.mkdir()
                keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=" + str(making_study(files[0]))]
                subprocess.run(["getscu", "-S", "-od", str(target), *keys, *peer], check=True, capture_output=True)

            if shutil.which("storescu"):
                best("storescu", lambda _t: _run(["storescu", *peer, *map(str, files)]), empty=True)
            best("store dimse", store("dimse"), empty=True)
            best("store dicomweb", store("dicomweb"), empty=True)
            if shutil.which("getscu"):
                best("getscu", getscu, empty=False)
            best("fetch dimse", fetch("dimse", clean=False), empty=False)
            best("fetch dicomweb", fetch("dicomweb", clean=False), empty=False)
            best("pull dimse", fetch("dimse", clean=True), empty=False)
            best("pull dicomweb", fetch("dicomweb", clean=True), empty=False)
        finally:
            orthanc.stop(archive)
    seconds = dict(rows)
    peers = {"store": seconds.get("storescu"), "fetch": seconds.get("getscu"), "pull": seconds.get("getscu")}
    print(f"{arguments.objects} objects of {arguments.size} x {arguments.size}, {megabytes:.0f} MB")
    print(f"{'':16}{'s':>8}{'objects/s':>11}{'MB/s':>8}  against DCMTK")
    for label, taken in rows:
        against = peers.get(label.split()[0])
        ratio = f"{against / taken:.1f}x" if against else ""
        print(f"{label:16}{taken:8.2f}{arguments.objects / taken:11.0f}{megabytes / taken:8.0f}  {ratio}")


def making_study(path: Path) -> str:
    import pydicom

    return str(pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
