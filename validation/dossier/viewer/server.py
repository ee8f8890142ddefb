"""The viewer on this machine: a read-only server that speaks to the loopback interface and to nobody else.

It answers GET and HEAD for pages and for the files that a run's manifest lists, and nothing else: no writing, no
listing of folders, no link followed. A request whose Host is not this machine is refused, so that a web page elsewhere
cannot read evidence through the browser of someone who has the viewer open.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from functools import lru_cache, partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from validation.dossier.viewer.page import run_page
from validation.dossier.viewer.shelf import addresses, shelf_page
from validation.errors import UsageProblem, ValidationProblem
from validation.evidence.manifest import check_name, list_files
from validation.evidence.results import RESULTS_FILE

_HERE = {"127.0.0.1", "localhost", "[::1]"}
_PIECE = 1 << 20
_SHOWN = {".html", ".pdf", ".png", ".svg", ".csv", ".json", ".jsonl", ".yaml", ".xml", ".md", ".txt"}


def serve(path: Path, *, port: int = 0, ready: Callable[[str], None]) -> None:
    """Serve a run, or the index of a folder of studies, until interrupted.

    Parameters
    ----------
    path
        A run folder, a study, or a folder of studies.
    port
        Port on the loopback interface; 0 takes a free one.
    ready
        Called with the address as soon as the server listens.

    Raises
    ------
    UsageProblem
        VIEW-001 if there is no run at the path; VIEW-002 if the port is taken.
    """
    server = make_server(path, port=port)
    ready(f"http://127.0.0.1:{server.server_address[1]}/")
    try:
        server.serve_forever()
    finally:
        server.server_close()


def make_server(path: Path, *, port: int = 0) -> ThreadingHTTPServer:
    """Return a server that listens but does not answer yet; see :func:`serve`."""
    path = path.resolve()
    single = (path / RESULTS_FILE).is_file()
    if not single and not addresses(path):
        raise UsageProblem(
            "there is no run to show here.",
            code="VIEW-001",
            where=str(path),
            action="Give a run folder, a study, or a folder of studies; `validation run` makes a run.",
        )
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, path, single))
    except (OSError, OverflowError):
        raise UsageProblem(
            f"the port {port} cannot be used.",
            code="VIEW-002",
            where="--port",
            action="Leave --port out; a free one is taken.",
        ) from None
    server.daemon_threads = True
    return server


@lru_cache(maxsize=4)
def _page(run: Path, state: tuple[tuple[str, int, int], ...]) -> bytes:
    """Return the page of a run, made once for as long as no file of it changes: it reads every file of the run."""
    return run_page(run)


def _state(run: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, size and time of change of every file below a run, links and folders as they are."""
    found = []
    for path in sorted(run.rglob("*")):
        about = path.lstat()
        found.append((path.relative_to(run).as_posix(), about.st_size, about.st_mtime_ns))
    return tuple(found)


class _Handler(BaseHTTPRequestHandler):
    server_version = "validation"
    sys_version = ""
    protocol_version = "HTTP/1.1"

    def __init__(self, root: Path, single: bool, *arguments: object) -> None:
        self._root = root
        self._single = single
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer with a page or a file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer as GET, without the body."""
        self._answer(body=False)

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet: requests name cases."""

    def _answer(self, *, body: bool) -> None:
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0] if self.headers.get("Host") != "[::1]" else "[::1]"
        if host not in _HERE:
            self._refuse(HTTPStatus.FORBIDDEN, "This viewer answers to this machine only.")
            return
        try:
            name = unquote(urlsplit(self.path).path, errors="strict").removeprefix("/")
        except (UnicodeDecodeError, ValueError):
            self._refuse(HTTPStatus.BAD_REQUEST, "The address cannot be read.")
            return
        try:
            if self._single:
                self._within(self._root, name, body=body)
                return
            if name == "":
                self._send(shelf_page(self._root, title=self._root.name), "text/html; charset=utf-8", body=body)
                return
            for address, run in addresses(self._root).items():
                if name == address:
                    self._redirect(f"/{address}/")
                    return
                if name.startswith(f"{address}/"):
                    self._within(run, name.removeprefix(f"{address}/"), body=body)
                    return
        except ValidationProblem as problem:
            self._refuse(HTTPStatus.CONFLICT, f"The run cannot be shown: {problem.what}")
            return
        self._refuse(HTTPStatus.NOT_FOUND, "There is nothing of that name.")

    def _within(self, run: Path, name: str, *, body: bool) -> None:
        """Answer within one run: its page, or one of its files."""
        if name == "":
            self._send(_page(run, _state(run)), "text/html; charset=utf-8", body=body)
            return
        try:
            check_name(name)
            known = name in list_files(run)
        except ValidationProblem:
            known = False
        if not known:
            self._refuse(HTTPStatus.NOT_FOUND, "The run has no file of that name.")
            return
        suffix = Path(name).suffix.lower()
        kind = mimetypes.guess_type(name)[0] if suffix in _SHOWN else None
        kind = "text/plain; charset=utf-8" if suffix in {".jsonl", ".yaml", ".md"} else kind
        path = run / name
        self._head(kind or "application/octet-stream", path.stat().st_size, download=kind is None)
        if body:
            with path.open("rb") as source:
                while piece := source.read(_PIECE):
                    self.wfile.write(piece)

    def _send(self, data: bytes, kind: str, *, body: bool) -> None:
        self._head(kind, len(data))
        if body:
            self.wfile.write(data)

    def _head(self, kind: str, size: int, *, download: bool = False) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        if download:
            self.send_header("Content-Disposition", "attachment")
        self._guard()

    def _guard(self) -> None:
        for header, value in (
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(header, value)
        self.end_headers()

    def _redirect(self, address: str) -> None:
        self.send_response(HTTPStatus.MOVED_PERMANENTLY)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self._guard()

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        data = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self._guard()
        if self.command != "HEAD":
            self.wfile.write(data)
