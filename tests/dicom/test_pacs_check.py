"""The interface test: an archive that keeps everything is accepted, one that loses something is found out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from tests.dicom import orthanc
from tests.dicom.conformity import complaints
from validation.cli.main import main
from validation.dicom.headers import parse_dataset
from validation.dicom.pacs.check import CHECKS, check_archive
from validation.dicom.pacs.settings import load_server
from validation.dicom.pacs.specimens import make_specimens


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[orthanc.Orthanc]:
    running = orthanc.start(tmp_path_factory.mktemp("orthanc"), DefaultEncoding="Utf8")
    yield running
    orthanc.stop(running)


def test_an_archive_that_keeps_everything(
    archive: orthanc.Orthanc, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, out = archive.settings(tmp_path / "pacs.yaml"), tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        main(["pacs", "check", "--server", str(settings), "--to", str(out), "--by", "A. Tester"])
    assert ended.value.code == 0
    assert "proposal: accept" in capsys.readouterr().out
    record = json.loads((out / "acceptance.json").read_bytes())
    for entries in record["channels"].values():
        assert [e["id"] for e in entries] == list(CHECKS)
        assert {e["outcome"] for e in entries if e["id"] != "IF-16"} == {"met"}
    patients = {archive.rest(f"/patients/{p}")["MainDicomTags"]["PatientID"] for p in archive.rest("/patients")}  # type: ignore[attr-defined,index]
    assert set(record["test_patients"]) <= patients
    for suffix in ("html", "pdf", "docx"):
        assert (out / f"acceptance.{suffix}").stat().st_size > 5000
    text = (out / "acceptance.html").read_text()
    assert text.count('<td class="">Met</td>') == 2 * (len(CHECKS) - 1)


def _lossy(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Bend what comes back from the archive, as one that loses things would."""
    from validation.dicom.pacs.web import WebChannel

    real = WebChannel.fetch

    def fetch(self: WebChannel, wanted: Any, receive: Any) -> None:
        import io

        def bent(instance: Any, data: bytes) -> None:
            ds = parse_dataset(data, "")
            change(ds)
            stream = io.BytesIO()
            ds.save_as(stream, enforce_file_format=True)
            receive(instance, stream.getvalue())

        real(self, wanted, bent)

    monkeypatch.setattr(WebChannel, "fetch", fetch)


def _blank(ds: pydicom.Dataset) -> None:
    if not ds.file_meta.TransferSyntaxUID.is_encapsulated:
        ds.PixelData = bytes(len(ds.PixelData))


LOSSES = {
    "IF-05": lambda ds: _blank(ds) if ds.Modality == "CT" else None,
    "IF-06": lambda ds: setattr(ds, "SeriesDescription", "coerced"),
    "IF-07": lambda ds: ds.remove_private_tags(),
    "IF-08": lambda ds: [ds.__delitem__(t) for t in (0x0008001C, 0x0008FFF6) if t in ds],
    "IF-11": lambda ds: ds.__delitem__("DerivationDescription") if "DerivationDescription" in ds else None,
    "IF-12": lambda ds: _blank(ds) if ds.Modality == "SEG" else None,
    "IF-13": lambda ds: ds.ROIContourSequence[0].ContourSequence.pop() if ds.Modality == "RTSTRUCT" else None,
    "IF-14": lambda ds: ds.ContentSequence.pop() if ds.Modality == "SR" else None,
}


@pytest.mark.parametrize("key", LOSSES)
def test_every_loss_is_found(
    archive: orthanc.Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    _lossy(monkeypatch, LOSSES[key])
    server = load_server(archive.settings(tmp_path / "pacs.yaml"))
    record = check_archive(server, ["dicomweb"], nonce=f"{list(LOSSES).index(key):08x}", by="x")
    outcomes = {e["id"]: e["outcome"] for e in record["channels"]["dicomweb"]}
    assert outcomes[key] == ("not_met" if CHECKS[key][1] else "reported")
    assert record["proposal"] == ("do not accept" if CHECKS[key][1] else "accept")
    assert outcomes["IF-02"] == "met"


def test_an_archive_that_refuses_a_kind_of_object(
    archive: orthanc.Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from validation.dicom.pacs.web import WebChannel

    real = WebChannel.store

    def store(self: WebChannel, files: Any, stored: Any) -> None:
        files = list(files)
        real(self, [p for p in files if "report" not in p.name], stored)
        for path in files:
            if "report" in path.name:
                stored(path, "failure reason 0122H")

    monkeypatch.setattr(WebChannel, "store", store)
    record = check_archive(load_server(archive.settings(tmp_path / "p.yaml")), ["dicomweb"], nonce="ffff0001", by="x")
    found = {e["id"]: e for e in record["channels"]["dicomweb"]}
    assert found["IF-02"]["detail"] == "Not so: report/report: failure reason 0122H."
    assert (found["IF-02"]["outcome"], found["IF-14"]["outcome"]) == ("not_met", "not_met")
    assert record["proposal"] == "do not accept"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_archive_that_is_not_there_is_not_accepted(archive: orthanc.Orthanc, tmp_path: Path) -> None:
    settings = archive.settings(tmp_path / "p.yaml", port=orthanc.free_port(), attempts=1)
    record = check_archive(load_server(settings), ["dimse"], nonce="0", by="x")
    assert record["proposal"] == "do not accept"
    assert {e["outcome"] for e in record["channels"]["dimse"] if e["needed"]} == {"not_met"}


def test_specimens_conform(tmp_path: Path) -> None:
    sent_on_purpose = ("0x0008,0xfff6", "0x0099,")
    for specimen in make_specimens(tmp_path, nonce="0"):
        for path in specimen.files:
            assert [c for c in complaints(path) if not any(tag in c for tag in sent_on_purpose)] == []
            assert str(pydicom.dcmread(path).PatientID) == "VALIDATION-TEST-0"


def test_statement(tmp_path: Path, archive: orthanc.Orthanc) -> None:
    settings = archive.settings(tmp_path / "p.yaml", token_env="PACS_TOKEN")  # noqa: S106 - a name
    with pytest.raises(SystemExit) as ended:
        main(["pacs", "statement", "--to", str(tmp_path / "out"), "--server", str(settings)])
    assert ended.value.code == 0
    text = (tmp_path / "out" / "integration.html").read_text()
    for words in ("1.2.840.10008.5.1.4.1.1.88.34", "JPEG 2000 (Lossless Only)", "QIDO-RS", "bearer token", "113105"):
        assert words in text
