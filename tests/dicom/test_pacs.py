"""Against a real archive: round trips byte by byte, broken connections, full disks, and going on where it stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless, generate_uid

from tests.dicom import making, orthanc
from validation.cli.main import main
from validation.dicom.confidentiality import profile
from validation.dicom.deidentify import Deidentifier
from validation.dicom.headers import parse_dataset
from validation.dicom.pacs import pull as pulling
from validation.dicom.pacs.open import open_channel
from validation.dicom.pacs.pull import pull
from validation.dicom.pacs.query import Query
from validation.dicom.pacs.settings import load_server
from validation.dicom.segmentation import write_segmentation
from validation.dicom.write import write_series
from validation.errors import ValidationProblem

KEY = bytes(range(32))
SYNTAXES = ("", "1.2.840.10008.1.2", str(RLELossless), str(JPEGLSLossless), "")
NAMES = ("Buc^Jérôme", "Äneas^Rüdiger", "Люкceмбypг", "SIMPLE^NAME", "Wang^XiaoDong=王^小东=")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[orthanc.Orthanc]:
    running = orthanc.start(tmp_path_factory.mktemp("orthanc"))
    yield running
    orthanc.stop(running)


@pytest.fixture(scope="module")
def sent(archive: orthanc.Orthanc, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Send 500 objects over both channels: five series of 100, in several transfer syntaxes and character sets."""
    folder = tmp_path_factory.mktemp("sent")
    for number, (syntax, name) in enumerate(zip(SYNTAXES, NAMES, strict=True)):
        _write(folder / str(number), number, syntax, name)
    paths = sorted(folder.rglob("*.dcm"))
    server = load_server(archive.settings(folder / "pacs.yaml"))
    for via, part in (("dicomweb", paths[:250]), ("dimse", paths[250:])):
        answers: list[str] = []
        with open_channel(server, via) as channel:
            channel.store(part, lambda _path, reason, answers=answers: answers.append(reason))
        assert answers == [""] * len(part)
    return {str(pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID): p for p in paths}


def _write(folder: Path, number: int, syntax: str, name: str) -> None:
    rng = np.random.default_rng(number)
    series = generate_uid(entropy_srcs=[f"series {number}"])
    folder.mkdir(parents=True)
    for i in range(100):
        ds = making.base(series)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[f"{number}/{i}"])
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.PatientName, ds.PatientID, ds.AccessionNumber = name, f"PACS-{number:04d}", f"ACC-{number}"
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "CT", number, 100 - i
        ds.SeriesDescription = f"Lung {number}"
        ds.PixelSpacing, ds.ImageOrientationPatient = ["0.5", "0.75"], [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [-10, -20, 2.5 * i]
        ds.RescaleSlope, ds.RescaleIntercept, ds.Rows, ds.Columns = "1", "-1024", 12, 16
        ds.PixelData = rng.integers(-2000, 2000, (12, 16)).astype("<i2").tobytes()
        ds.private_block(0x0029, "VENDOR", create=True).add_new(0x10, "OB", bytes([i, 0, 255, number]))
        ds.add_new(0x0008001C, "CS", "NO")
        if syntax == "1.2.840.10008.1.2":
            ds.file_meta.TransferSyntaxUID = syntax
        elif syntax:
            ds.compress(syntax)
        ds.save_as(folder / f"{i:03d}.dcm", enforce_file_format=True)


@pytest.mark.parametrize(("via", "retrieve"), [("dicomweb", "get"), ("dimse", "get"), ("dimse", "move")])
def test_500_objects_come_back_with_every_byte_and_tag(
    archive: orthanc.Orthanc, sent: dict[str, Path], tmp_path: Path, via: str, retrieve: str
) -> None:
    server = load_server(archive.settings(tmp_path / "pacs.yaml", retrieve=retrieve))
    seen: dict[str, bytes] = {}
    with open_channel(server, via) as channel:
        series = channel.find_series(Query(patient="PACS-*", modality="CT"))
        assert {s.description for s in series} == {f"Lung {n}" for n in range(5)}
        listed = [i for one in series for i in channel.find_instances(one)]
        assert {i.uid for i in listed} == set(sent)
        assert sorted(i.number for i in listed if i.number is not None)[-1] == 100
        wanted = listed if retrieve == "get" else listed[::10]
        channel.fetch(wanted, lambda instance, data: seen.__setitem__(instance.uid, data))
    assert set(seen) == {i.uid for i in wanted}
    for uid, data in seen.items():
        old, new = pydicom.dcmread(sent[uid]), parse_dataset(data, "")
        assert new.file_meta.TransferSyntaxUID == old.file_meta.TransferSyntaxUID
        assert new.PixelData == old.PixelData
        assert new == old  # every element, private and unknown ones too


def test_a_pull_gives_the_same_cohort_over_both_channels(
    archive: orthanc.Orthanc, sent: dict[str, Path], tmp_path: Path
) -> None:
    trees = []
    for via in ("dicomweb", "dimse"):
        server = load_server(archive.settings(tmp_path / "pacs.yaml"))
        with open_channel(server, via) as channel:
            done = pull(channel, Query(patient="PACS-0001"), tmp_path / via, key=KEY, options=profile("cohort"))
        assert (done.series, done.listed, done.written, done.there, dict(done.refused)) == (1, 100, 100, 0, {})
        trees.append(_tree(tmp_path / via))
    assert trees[0] == trees[1]
    everything = b"".join(trees[0].values())
    for secret in ("PACS-0001", "Rüdiger", "ACC-1", "SECRET", *list(sent)[:3]):
        assert secret.encode() not in everything
    table = (tmp_path / "dicomweb" / "cases.csv").read_text().splitlines()
    assert len(table) == 2
    assert table[1].split(",")[1] == Deidentifier(KEY, profile("cohort")).patient("PACS-0001")
    from validation.dicom.locators import read_image

    image = read_image(table[1].split(",")[3], tmp_path / "dicomweb")
    assert image.array.shape == (100, 12, 16)


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "pull.json"
    }


class Cutter:
    """A proxy that cuts every connection after a number of bytes, until it is told to let them pass."""

    def __init__(self, port: int, after: int) -> None:
        self.target, self.after, self.cuts = port, after, 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            left = [self.after]
            for a, b, counted in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(a, b, left if counted else None), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, left: list[int] | None) -> None:
        try:
            while data := source.recv(4096):
                if left is not None and self.after:
                    left[0] -= len(data)
                    if left[0] < 0:
                        self.cuts += 1
                        break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
                end.close()
            except OSError:
                pass

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("via", ["dicomweb", "dimse"])
def test_a_connection_that_breaks_again_and_again_loses_nothing(
    archive: orthanc.Orthanc, sent: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, via: str
) -> None:
    cutter = Cutter(archive.http if via == "dicomweb" else archive.dimse, 30_000 if via == "dicomweb" else 45_000)
    monkeypatch.setattr("validation.dicom.pacs.dimse._AT_ONCE", 50)
    changes: dict[str, Any] = {"attempts": 2, "timeout_s": 5}
    changes |= {"url": f"http://127.0.0.1:{cutter.port}/dicom-web"} if via == "dicomweb" else {"port": cutter.port}
    server = load_server(archive.settings(tmp_path / "pacs.yaml", **changes))
    query = Query(patient="PACS-0000")
    codes: set[str] = set()
    for _ in range(40):
        try:
            with open_channel(server, via) as channel:
                done = pull(channel, query, tmp_path / "cut", key=KEY, options=profile("cohort"))
            break
        except ValidationProblem as problem:
            codes.add(problem.code)
            assert not list((tmp_path / "cut").rglob("*.part"))
            for path in (tmp_path / "cut" / "images").rglob("*.dcm"):
                parse_dataset(path.read_bytes(), "")
    cutter.close()
    assert codes <= {"PACS-001"}  # mostly, the tries of one call are enough
    assert cutter.cuts > 0
    assert done.written + done.there == 100
    with open_channel(load_server(archive.settings(tmp_path / "pacs.yaml")), via) as channel:
        pull(channel, query, tmp_path / "whole", key=KEY, options=profile("cohort"))
    assert _tree(tmp_path / "cut") == _tree(tmp_path / "whole")


def test_a_full_disk_loses_nothing(archive: orthanc.Orthanc, sent: dict[str, Path], tmp_path: Path) -> None:
    """On a real small file system where mounting is allowed, else with a quota that is played."""
    server = load_server(archive.settings(tmp_path / "pacs.yaml"))
    query = Query(patient="PACS-0002")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with open_channel(server) as channel:
            with pytest.raises(ValidationProblem) as caught:
                pull(channel, query, small / "cohort", key=KEY, options=profile("cohort"))
            assert (caught.value.code, "disk is full" in caught.value.what) == ("PACS-008", True)
            kept = len(list(small.rglob("*.dcm")))
            assert 0 < kept < 100
            assert not json.loads((small / "cohort" / "pull.json").read_text())["complete"]
            subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True)
            done = pull(channel, query, small / "cohort", key=KEY, options=profile("cohort"))
            assert (done.there, done.written) == (kept, 100 - kept)
            pull(channel, query, tmp_path / "whole", key=KEY, options=profile("cohort"))
        assert _tree(small / "cohort") == _tree(tmp_path / "whole")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_full_disk_that_is_played(
    archive: orthanc.Orthanc, sent: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = load_server(archive.settings(tmp_path / "pacs.yaml"))
    real, left = pulling.write_atomically, [30]

    def limited(path: Path, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(path, data)

    monkeypatch.setattr(pulling, "write_atomically", limited)
    for via in ("dimse", "dicomweb"):
        with open_channel(server, via) as channel, pytest.raises(ValidationProblem) as caught:
            pull(channel, Query(patient="PACS-0003"), tmp_path / "cohort", key=KEY, options=profile("cohort"))
        assert caught.value.code == "PACS-008"
        left[0] = 30
    assert len(list((tmp_path / "cohort").rglob("*.dcm"))) == 29 + 30  # one of the first writes was the record


def test_a_pull_that_is_killed_goes_on(archive: orthanc.Orthanc, sent: dict[str, Path], tmp_path: Path) -> None:
    settings = archive.settings(tmp_path / "pacs.yaml")
    call = [
        "pacs",
        "pull",
        "--server",
        str(settings),
        "--patient",
        "PACS-0004",
        "--to",
        str(tmp_path / "study" / "cohort"),
    ]
    code = "import sys; from validation.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *call]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment)
    deadline = time.monotonic() + 60
    while (
        len(list((tmp_path / "study").rglob("*.dcm"))) < 10 and time.monotonic() < deadline and process.poll() is None
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(list((tmp_path / "study").rglob("*.dcm")))
    assert kept >= 10
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, env=environment).returncode == 0
    record = json.loads((tmp_path / "study" / "cohort" / "pull.json").read_text())
    assert (record["complete"], record["objects"]["kept"]) == (True, 100)
    assert (tmp_path / "study" / "pseudonym.key").stat().st_mode & 0o077 == 0
    assert not list((tmp_path / "study" / "cohort").rglob("*.key"))


def test_another_query_key_or_profile_is_refused(
    archive: orthanc.Orthanc, sent: dict[str, Path], tmp_path: Path
) -> None:
    server = load_server(archive.settings(tmp_path / "pacs.yaml"))
    first: dict[str, Any] = {"query": Query(series_description="Lung 0"), "key": KEY, "options": profile("cohort")}
    folder = tmp_path / "cohort"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()

    def attempt(folder: Path = folder, **changes: Any) -> None:
        arguments = first | changes
        with open_channel(server) as channel:
            pull(channel, arguments.pop("query"), folder, **arguments)

    attempt()
    for words, changes in {
        "another query": {"query": Query(patient="PACS-0001")},
        "another key": {"key": bytes(32)},
        "another profile": {"options": profile("strict")},
    }.items():
        with pytest.raises(ValidationProblem) as caught:
            attempt(**changes)
        assert caught.value.code == "PACS-013"
        assert words in caught.value.what
    with pytest.raises(ValidationProblem, match="not empty"):
        attempt(tmp_path / "other")
    with pytest.raises(ValidationProblem, match="matches the query"):
        attempt(tmp_path / "none", query=Query(patient="NOBODY"))
    attempt()


def test_objects_with_text_in_their_pixels_are_left_out_and_counted(
    archive: orthanc.Orthanc, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    making.write_series(tmp_path / "s", n=3, edit=_texted)
    settings = archive.settings(tmp_path / "pacs.yaml")
    with open_channel(load_server(settings)) as channel:
        channel.store(sorted((tmp_path / "s").iterdir()), lambda _p, _r: None)
    call = [
        "pacs",
        "pull",
        "--server",
        str(settings),
        "--patient",
        "TEXTED",
        "--to",
        str(tmp_path / "study/cohort"),
        "--json",
    ]
    for _ in range(2):
        assert _run(call) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["listed"] == 3
        assert list(answer["refused"].values()) == [1]
    assert answer["there_before"] == 2


def _texted(i: int, ds: pydicom.Dataset) -> None:
    ds.PatientID = "TEXTED"
    ds.BurnedInAnnotation = "YES" if i == 1 else "NO"


def _run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.mark.parametrize("via", ["dicomweb", "dimse"])
def test_push(archive: orthanc.Orthanc, tmp_path: Path, capsys: pytest.CaptureFixture[str], via: str) -> None:
    from tests.dicom.test_write import HOW
    from validation.dicom.locators import read_image

    making.write_series(tmp_path / "source", edit=lambda _, ds: setattr(ds, "PatientID", f"PUSH-{via}"))
    image = read_image("source", tmp_path)
    out = tmp_path / "out"
    write_series(image.array, image.files, out / "series", HOW)
    write_segmentation({"liver": image.array > 0}, image.files, out / "seg.dcm", HOW)
    settings = archive.settings(tmp_path / "pacs.yaml")
    assert _run(["pacs", "push", str(out), "--server", str(settings), "--via", via]) == 0
    assert "5 objects: 5 sent, 0 sent before" in capsys.readouterr().out
    assert _run(["pacs", "push", str(out), "--server", str(settings), "--via", via]) == 0
    assert "5 objects: 0 sent, 5 sent before" in capsys.readouterr().out
    journal = out / "push-Test-archive.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])  # a crash in the last line
    assert _run(["pacs", "push", str(out), "--server", str(settings), "--via", via]) == 0
    assert "5 objects: 1 sent, 4 sent before" in capsys.readouterr().out
    assert _run(["pacs", "push", str(tmp_path / "source"), "--server", str(settings)]) == 3
    assert "PACS-030" in capsys.readouterr().err
    copy = out / "copy.dcm"
    copy.write_bytes((out / "seg.dcm").read_bytes())
    assert _run(["pacs", "push", str(out), "--server", str(settings)]) == 3
    assert "PACS-031" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_wrong_names_and_closed_doors(archive: orthanc.Orthanc, tmp_path: Path) -> None:
    def problem(via: str, **changes: Any) -> ValidationProblem:
        server = load_server(archive.settings(tmp_path / "pacs.yaml", attempts=1, **changes))
        with pytest.raises(ValidationProblem) as caught, open_channel(server, via) as channel:
            channel.reach()
        assert "SECRET" not in str(caught.value)
        return caught.value

    wrong = problem("dimse", called="NOBODY")
    assert (wrong.code, "called AE title 'NOBODY'" in wrong.what) == ("PACS-002", True)
    assert problem("dimse", port=orthanc.free_port()).code == "PACS-001"
    assert problem("dimse", port=archive.http, timeout_s=2).code == "PACS-001"
    assert problem("dicomweb", url=f"http://127.0.0.1:{orthanc.free_port()}/x").code == "PACS-001"
    assert problem("dicomweb", url=f"https://127.0.0.1:{archive.http}/dicom-web").code == "PACS-003"
    assert problem("dicomweb", url=f"http://127.0.0.1:{archive.http}/nowhere").code == "PACS-005"
    assert problem("dicomweb", token_env="NOT_SET_ANYWHERE").code == "PACS-010"  # noqa: S106


def test_c_move_to_a_name_that_the_archive_does_not_know(
    archive: orthanc.Orthanc, sent: dict[str, Path], tmp_path: Path
) -> None:
    server = load_server(
        archive.settings(tmp_path / "p.yaml", calling="STRANGER", retrieve="move", attempts=1, timeout_s=5)
    )
    with open_channel(server, "dimse") as channel:
        listed = channel.find_instances(channel.find_series(Query(patient="PACS-0000"))[0])
        with pytest.raises(ValidationProblem) as caught:
            channel.fetch(listed[:1], lambda _i, _d: None)
    assert caught.value.code in ("PACS-002", "PACS-005", "PACS-001")
