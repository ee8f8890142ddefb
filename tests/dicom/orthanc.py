"""A real archive for tests: Debian's Orthanc on loopback, with DICOMweb, in a temporary folder."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = Path(shutil.which("Orthanc") or "/usr/sbin/Orthanc")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass
class Orthanc:
    """A running archive."""

    http: int
    dimse: int
    listen: int
    folder: Path
    process: subprocess.Popen[bytes]

    def settings(self, path: Path, **changes: object) -> Path:
        """Write a settings file for the program and return its path."""
        dimse = {"host": "127.0.0.1", "port": self.dimse, "called": "ORTHANC", "calling": "VALIDATION"}
        dimse |= {k: changes.pop(k) for k in list(changes) if k in ("called", "calling", "retrieve", "port", "host")}
        if dimse.get("retrieve") == "move":
            dimse["listen_port"] = self.listen
        web = {"url": changes.pop("url", f"http://127.0.0.1:{self.http}/dicom-web")}
        web |= {k: changes.pop(k) for k in list(changes) if k.endswith("_env")}
        content = {"name": "Test archive", "dicomweb": web, "dimse": dimse, "timeout_s": 20, **changes}
        path.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
        return path

    def rest(self, path: str, method: str = "GET", data: bytes | None = None) -> object:
        """Ask Orthanc's own interface."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            content = answer.read()
        return json.loads(content) if content else None

    def empty(self) -> None:
        """Remove every patient."""
        for patient in self.rest("/patients"):  # type: ignore[attr-defined]
            self.rest(f"/patients/{patient}", "DELETE")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, **extra: object) -> Orthanc:
    """Start an archive; the test is skipped where the program is not installed."""
    if not PROGRAM.exists() or not PLUGIN.exists():
        pytest.skip("Orthanc with its DICOMweb plugin is not installed")
    http, dimse, listen = free_port(), free_port(), free_port()
    settings = {
        "Name": "test", "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "index"),
        "HttpPort": http, "DicomPort": dimse, "DicomAet": "ORTHANC", "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False, "DicomCheckCalledAet": True,
        "DicomAlwaysAllowGet": True, "DicomAlwaysAllowMove": True,
        "DicomAlwaysAllowFind": True, "DicomModalities": {"us": ["VALIDATION", "127.0.0.1", listen]},
        "UnknownSopClassAccepted": True, "OverwriteInstances": False, "StableAge": 1, "SaveJobs": False,
        "Plugins": [str(PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
        **extra,
    }  # fmt: skip
    file = folder / "orthanc.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen([str(PROGRAM), str(file)], stdout=log, stderr=log)
    archive = Orthanc(http, dimse, listen, folder, process)
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            archive.rest("/system")
        except urllib.error.HTTPError:
            return archive
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return archive
    process.kill()
    raise RuntimeError("Orthanc does not start: " + (folder / "log.txt").read_text(errors="replace")[-800:])


def stop(archive: Orthanc) -> None:
    archive.process.terminate()
    try:
        archive.process.wait(20)
    except subprocess.TimeoutExpired:
        archive.process.kill()
