"""Archives that lie, fail or attack: nothing wrong is kept, nothing endless is read, no secret is shown."""

from __future__ import annotations

import gzip
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.dicom import making
from validation.dicom.confidentiality import profile
from validation.dicom.pacs.dimse import DimseChannel
from validation.dicom.pacs.open import open_channel
from validation.dicom.pacs.pull import Pulled, pull
from validation.dicom.pacs.query import Query
from validation.dicom.pacs.settings import load_server
from validation.dicom.pacs.web import WebChannel
from validation.errors import ValidationProblem

Answer = tuple[int, dict[str, str], bytes]
TOKEN = "sesame-4711"  # noqa: S105 - what must never be shown


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    making.write_series(tmp_path / "s", n=3)
    return sorted((tmp_path / "s").iterdir())


class Archive:
    """A small DICOMweb service over files, whose answers a test bends."""

    def __init__(self, files: list[Path]) -> None:
        self.datasets = [pydicom.dcmread(p) for p in files]
        self.bytes = {str(ds.SOPInstanceUID): p.read_bytes() for ds, p in zip(self.datasets, files, strict=True)}
        self.asked: list[str] = []
        self.bend: Callable[[str, Answer], Answer] = lambda _path, answer: answer

    def answer(self, path: str) -> Answer:
        self.asked.append(path)
        head, _, query = path.partition("?")
        parts = head.strip("/").split("/")
        first = self.datasets[0]
        if parts[-1] == "studies":
            found = [_json(first, "StudyInstanceUID", "PatientID", "StudyDate")]
        elif parts[-1] == "series":
            found = [_json(first, "SeriesInstanceUID", "Modality", "SeriesNumber")]
        elif parts[-1] == "instances":
            found = [_json(ds, "SOPInstanceUID", "SOPClassUID", "InstanceNumber") for ds in self.datasets]
        else:
            return self.bend(path, _multipart(self.bytes[parts[-1]]))
        if "offset=" in query and "offset=0" not in query:
            found = []
        return self.bend(path, (200, {"Content-Type": "application/dicom+json"}, json.dumps(found).encode()))


def _json(ds: pydicom.Dataset, *keywords: str) -> dict[str, Any]:
    answer = pydicom.Dataset()
    for keyword in keywords:
        setattr(answer, keyword, ds.get(keyword))
    return answer.to_json_dict()


def _multipart(content: bytes, boundary: str = "xyz") -> Answer:
    body = (
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + content + f"\r\n--{boundary}--".encode()
    )
    return 200, {"Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}'}, body


@contextmanager
def serving(archive: Archive, context: ssl.SSLContext | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, headers, body = archive.answer(self.path)
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _pull(archive: Archive, tmp_path: Path, **changes: Any) -> Pulled:
    with serving(archive, changes.pop("context", None)) as url:
        web = {"url": url, **changes.pop("web", {})}
        settings = tmp_path / "pacs.json"
        settings.write_text(json.dumps({"name": "Hostile", "dicomweb": web, "attempts": 2, "timeout_s": 5, **changes}))
        with open_channel(load_server(settings)) as channel:
            return pull(channel, Query(modality="CT"), tmp_path / "cohort", key=bytes(32), options=profile("cohort"))


def _refused(archive: Archive, tmp_path: Path, **changes: Any) -> ValidationProblem:
    with pytest.raises(ValidationProblem) as caught:
        _pull(archive, tmp_path, **changes)
    assert "SECRET" not in str(caught.value)
    return caught.value


def _written(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "cohort").rglob("*.dcm"))


def test_a_plain_one_works(files: list[Path], tmp_path: Path) -> None:
    assert _pull(Archive(files), tmp_path).written == 3


def test_another_object_than_the_one_asked_for(files: list[Path], tmp_path: Path) -> None:
    archive = Archive(files)
    first, second = list(archive.bytes)[:2]
    archive.bytes[second] = archive.bytes[first]
    assert _refused(archive, tmp_path).code == "PACS-006"
    ds = pydicom.dcmread(files[1])
    ds.StudyInstanceUID = generate_uid()
    ds.save_as(files[1])
    archive.bytes[second] = files[1].read_bytes()
    assert _refused(archive, tmp_path).code == "PACS-006"


@pytest.mark.parametrize("uid", ["../../../etc/passwd", "1.2/../../3", "1..2", "", "1.2.3\x00", "9" * 65])
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_names_that_are_paths(files: list[Path], tmp_path: Path, keyword: str, uid: str) -> None:
    archive = Archive(files)

    def bend(path: str, answer: Answer) -> Answer:
        found = json.loads(answer[2]) if "json" in answer[1]["Content-Type"] else []
        tag = f"{pydicom.datadict.tag_for_keyword(keyword):08X}"
        for item in found:
            if tag in item:
                item[tag]["Value"] = [uid]
        return answer if not found else (200, answer[1], json.dumps(found).encode())

    archive.bend = bend
    assert _refused(archive, tmp_path).code == "PACS-005"
    assert not _written(tmp_path)
    assert not any(".." in path for path in archive.asked)


def test_lists_that_repeat_and_never_end(files: list[Path], tmp_path: Path) -> None:
    """The same answer to every page, longer than a page: read once, each object once."""
    archive = Archive(files)

    def bend(path: str, answer: Answer) -> Answer:
        if "/instances?" not in path:
            return answer
        found = json.loads(answer[2]) or [_json(ds, "SOPInstanceUID", "SOPClassUID") for ds in archive.datasets]
        return 200, answer[1], json.dumps(found * 400).encode()

    archive.bend = bend
    assert _pull(archive, tmp_path).written == 3
    assert len([path for path in archive.asked if "/instances?" in path]) <= 3


def test_filters_that_are_ignored(files: list[Path], tmp_path: Path) -> None:
    """An archive that answers every query with everything does not widen the cohort."""
    archive = Archive(files)
    with serving(archive) as url:
        (tmp_path / "p.json").write_text(json.dumps({"name": "x", "dicomweb": {"url": url}}))
        with open_channel(load_server(tmp_path / "p.json")) as channel:
            assert channel.find_series(Query(modality="MR")) == []
            assert channel.find_series(Query(patient="SOMEBODY")) == []
            assert channel.find_series(Query(until="20231231")) == []
            assert len(channel.find_series(Query(patient="SECRET*", since="20240102"))) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"not dicom", "DCM-001"),
        (b"\0" * 128 + b"DICM", "DCM-002"),
        (b"\0" * 128 + b"DICM" + b"\x08\x00\x16\x00UI\xff\xff" + b"1" * 100, "DCM-002"),
    ],
)
def test_objects_that_are_none(files: list[Path], tmp_path: Path, body: bytes, code: str) -> None:
    archive = Archive(files)
    archive.bytes = dict.fromkeys(archive.bytes, body)
    assert _refused(archive, tmp_path).code in (code, "DCM-001", "DCM-002", "PACS-006")
    assert not _written(tmp_path)


def test_objects_that_are_cut_short_or_declare_too_much(files: list[Path], tmp_path: Path) -> None:
    archive = Archive(files)
    archive.bytes = {uid: data[:-100] for uid, data in archive.bytes.items()}
    assert _refused(archive, tmp_path).code == "DCM-002"
    for keyword, value in {"Rows": 65535, "NumberOfFrames": 2**30}.items():
        ds = pydicom.dcmread(files[0])
        setattr(ds, keyword, value)
        ds.save_as(tmp_path / "huge.dcm")
        archive.bytes = dict.fromkeys(archive.bytes, (tmp_path / "huge.dcm").read_bytes())
        assert _refused(archive, tmp_path).code in ("DCM-002", "DCM-003")
    assert not _written(tmp_path)


def test_deflated_objects_and_zip_bombs(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(files)
    ds = pydicom.dcmread(files[0])
    ds.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    ds.save_as(tmp_path / "deflated.dcm")
    archive.bytes = dict.fromkeys(archive.bytes, (tmp_path / "deflated.dcm").read_bytes())
    assert _refused(archive, tmp_path).code == "DCM-006"
    bomb = gzip.compress(bytes(30 * 2**20))
    for part in ("instances/", "/studies?"):
        archive.bend = lambda path, answer, part=part: (
            (200, {**answer[1], "Content-Encoding": "gzip"}, bomb) if part in path else answer
        )
        assert _refused(archive, tmp_path, maximum_object_mb=1).code == "PACS-007"
    answered: list[Any] = []
    read = WebChannel._read
    monkeypatch.setattr(WebChannel, "_read", lambda self, found: answered.append(found.raw) or read(self, found))
    archive.bend = lambda _path, answer: (200, {**answer[1], "Content-Length": str(2**40)}, b"")
    assert _refused(archive, tmp_path).code == "PACS-007"
    assert [raw.closed for raw in answered] == [True]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((401, {}, b""), "PACS-004"),
        ((403, {}, b""), "PACS-004"),
        ((404, {}, b""), "PACS-005"),
        ((500, {}, b"SECRET"), "PACS-001"),
        ((503, {}, b""), "PACS-001"),
        ((302, {"Location": "http://127.0.0.1:1/else"}, b""), "PACS-005"),
        ((200, {"Content-Type": "application/dicom+json"}, b"<html>SECRET"), "PACS-005"),
        ((200, {"Content-Type": "application/dicom+json"}, b'{"a": 1}'), "PACS-005"),
        ((200, {"Content-Type": "application/dicom+json"}, b'[["SECRET"]]'), "PACS-005"),
        ((200, {"Content-Type": "application/dicom+json"}, b'[{"0020000D": {"vr": "UI", "Value": [{}]}}]'), "PACS-005"),
    ],
)
def test_answers_that_are_none(files: list[Path], tmp_path: Path, answer: Answer, code: str) -> None:
    archive = Archive(files)
    archive.bend = lambda _path, _answer: answer
    assert _refused(archive, tmp_path).code == code


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/related; boundary=xyz", b"--xyz\r\n\r\nonly a part"),
        ("multipart/related", b"--xyz\r\n\r\nx\r\n--xyz--"),
        ("multipart/related; boundary=xyz", b"--xyz\r\n\r\na\r\n--xyz\r\n\r\nb\r\n--xyz--"),
        ("text/html", b"please sign in"),
    ],
)
def test_envelopes_that_are_none(files: list[Path], tmp_path: Path, kind: str, body: bytes) -> None:
    archive = Archive(files)
    archive.bend = lambda path, answer: answer if path.count("instances/") == 0 else (200, {"Content-Type": kind}, body)
    assert _refused(archive, tmp_path).code == "PACS-005"


def test_secrets_come_from_the_environment_and_are_not_shown(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PACS_TOKEN", TOKEN)
    caplog.set_level("DEBUG")
    archive = Archive(files)
    assert _pull(archive, tmp_path, web={"token_env": "PACS_TOKEN"}).written == 3
    archive.bend = lambda _path, _answer: (401, {}, TOKEN.encode())
    problem = _refused(archive, tmp_path, web={"user_env": "PACS_TOKEN", "password_env": "PACS_TOKEN"})
    everything = (
        str(problem)
        + caplog.text
        + "".join(
            p.read_text(errors="replace")
            for p in (tmp_path / "cohort").rglob("*")
            if p.is_file() and p.suffix != ".dcm"
        )
    )
    assert TOKEN not in everything
    assert "SECRET" not in everything
    (tmp_path / "bad.yaml").write_text(f"name: x\ndicomweb: {{url: 'http://user:{TOKEN}@127.0.0.1/'}}\n")
    with pytest.raises(ValidationProblem) as caught:
        load_server(tmp_path / "bad.yaml")
    assert TOKEN not in str(caught.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for 127.0.0.1 that signs itself."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "archive")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder


def _context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return context


def test_https_is_trusted_only_with_its_certificate(files: list[Path], tmp_path: Path, certificate: Path) -> None:
    problem = _refused(Archive(files), tmp_path, context=_context(certificate))
    assert (problem.code, "not signed by one that is trusted" in problem.what) == ("PACS-003", True)
    (tmp_path / "ca.pem").write_bytes((certificate / "cert.pem").read_bytes())
    done = _pull(Archive(files), tmp_path, context=_context(certificate), web={"tls": {"ca": "ca.pem"}})
    assert done.written == 3
    with pytest.raises(ValidationProblem) as caught:
        _pull(Archive(files), tmp_path, web={"tls": {"ca": "nowhere.pem"}})
    assert caught.value.code == "PACS-010"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_dimse_over_tls(tmp_path: Path, certificate: Path) -> None:
    from pynetdicom import AE, evt
    from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

    ae = AE(ae_title="SECURE")
    ae.add_supported_context(Verification)
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, ssl_context=_context(certificate), evt_handlers=[(evt.EVT_C_ECHO, lambda _e: 0)]
    )
    try:
        port = server.socket.getsockname()[1]
        dimse = {"host": "127.0.0.1", "port": port, "called": "SECURE", "calling": "ME", "tls": {}}

        def reach(**tls: str) -> None:
            (tmp_path / "p.json").write_text(json.dumps({"name": "x", "attempts": 1, "dimse": dimse | {"tls": tls}}))
            DimseChannel(load_server(tmp_path / "p.json")).reach()

        with pytest.raises(ValidationProblem) as caught:
            reach()
        assert caught.value.code == "PACS-003"
        (tmp_path / "ca.pem").write_bytes((certificate / "cert.pem").read_bytes())
        reach(ca="ca.pem")
    finally:
        server.shutdown()


def test_settings_that_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    for text in (
        "", "- a\n", "name: x\n", "name: x\ndicomweb: {url: 'ftp://x'}\n", "name: x\ndimse: {host: h, port: 99999}\n",
        "name: x\nwebz: 1\n", "\x00",
        "name: x\ndimse: {host: h, port: 104, called: 'TOO-LONG-A-TITLE-X', calling: A}\n",
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(ValidationProblem) as caught:
            load_server(path)
        assert caught.value.code == "PACS-010"
    with pytest.raises(ValidationProblem, match="no such file"):
        load_server(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    "query",
    [{}, {"since": "2024"}, {"since": "20240102", "until": "20230101"}, {"study": "1.2/3"}, {"patient": "a\\b"},
     {"patient": "x" * 65}, {"since": "20241301"}],
)  # fmt: skip
def test_queries_that_are_none(query: dict[str, str]) -> None:
    with pytest.raises(ValidationProblem) as caught:
        Query(**query)
    assert caught.value.code == "PACS-011"


def test_an_object_that_nobody_asked_for_over_dimse(files: list[Path], tmp_path: Path) -> None:
    """A C-GET that sends more than was asked for: nothing of it is kept."""
    from pynetdicom import AE, evt
    from pynetdicom.sop_class import (  # type: ignore[attr-defined]
        CTImageStorage,
        StudyRootQueryRetrieveInformationModelGet,
    )

    datasets = [pydicom.dcmread(p) for p in files]

    def get(_event: Any) -> Iterator[Any]:
        yield 1
        yield 0xFF00, datasets[1]

    ae = AE(ae_title="LIAR")
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
    ae.add_supported_context(CTImageStorage, scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_GET, get)])
    try:
        dimse = {"host": "127.0.0.1", "port": server.socket.getsockname()[1], "called": "LIAR", "calling": "ME"}
        (tmp_path / "p.json").write_text(json.dumps({"name": "x", "attempts": 2, "timeout_s": 5, "dimse": dimse}))
        from validation.dicom.pacs.query import Instance

        first = datasets[0]
        wanted = Instance(
            study=str(first.StudyInstanceUID), series=str(first.SeriesInstanceUID), uid=str(first.SOPInstanceUID),
            sop_class=str(first.SOPClassUID),
        )  # fmt: skip
        got: list[bytes] = []
        with pytest.raises(ValidationProblem) as caught:
            DimseChannel(load_server(tmp_path / "p.json")).fetch([wanted], lambda _i, data: got.append(data))
        assert (caught.value.code, got) == ("PACS-006", [])
    finally:
        server.shutdown()
