"""An archive over DICOMweb (PS3.18): QIDO-RS to find, WADO-RS to fetch, STOW-RS to store.

Queries go through dicomweb-client. Objects travel as the bytes of their files, streamed and bounded: the library would
parse and write them again, so that what is compared would not be what was stored.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from validation.dicom.pacs import failures
from validation.dicom.pacs.query import Instance, Query, Series, is_uid, number_of
from validation.dicom.pacs.settings import Server, certificate_file, secret
from validation.errors import DataProblem

_PAGE = 500
_CONNECTIONS = 4
_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class WebChannel:
    """See :class:`validation.dicom.pacs.query.Channel`."""

    name = "dicomweb"

    def __init__(self, server: Server) -> None:
        import requests
        from dicomweb_client.api import DICOMwebClient

        assert server.dicomweb is not None  # noqa: S101 - open_channel looks
        logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL)  # it logs addresses, and answers with names
        web = server.dicomweb
        self._server, self._url = server, web.url
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy and no .netrc that nobody named
        self._session.max_redirects = 0
        self._session.verify = certificate_file(server, web.tls.ca) or True
        certificate = certificate_file(server, web.tls.certificate)
        if certificate is not None:
            key = certificate_file(server, web.tls.key)
            self._session.cert = certificate if key is None else (certificate, key)
        if web.token_env is not None:
            self._session.headers["Authorization"] = f"Bearer {secret(web.token_env)}"
        elif web.user_env is not None:
            pair = f"{secret(web.user_env)}:{secret(web.password_env) if web.password_env else ''}"
            self._session.headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        adapter = _adapter()
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._client = DICOMwebClient(
            url=web.url, session=self._session, timeout=server.timeout_s, callback=self._bound, permissive_uid=True
        )
        self._client.set_http_retry_params(retry=False)

    def reach(self) -> None:
        """Ask for one study."""
        self._asked(lambda: self._client.search_for_studies(limit=1))

    def find_series(self, query: Query) -> list[Series]:
        """See :class:`validation.dicom.pacs.query.Channel`."""
        found: dict[str, Series] = {}
        for study in self._pages(self._client.search_for_studies, query.study_filters(), "StudyInstanceUID"):
            if not query.matches_study(study):
                continue
            uid = str(study.StudyInstanceUID)
            search = self._of_study(uid)
            for answer in self._pages(search, query.series_filters(), "SeriesInstanceUID"):
                if query.matches_series(answer):
                    series = str(answer.SeriesInstanceUID)
                    found[series] = Series(
                        study=uid,
                        uid=series,
                        modality=str(answer.get("Modality") or ""),
                        description=str(answer.get("SeriesDescription") or ""),
                        number=number_of(answer, "SeriesNumber"),
                        patient=str(study.get("PatientID") or ""),
                    )
        return [found[uid] for uid in sorted(found)]

    def find_instances(self, series: Series) -> list[Instance]:
        """See :class:`validation.dicom.pacs.query.Channel`."""

        def search(**arguments: Any) -> Any:
            return self._client.search_for_instances(series.study, series.uid, **arguments)

        found = {
            str(answer.SOPInstanceUID): Instance(
                study=series.study,
                series=series.uid,
                uid=str(answer.SOPInstanceUID),
                sop_class=str(answer.get("SOPClassUID") or ""),
                number=number_of(answer, "InstanceNumber"),
            )
            for answer in self._pages(search, {}, "SOPInstanceUID")
        }
        return [found[uid] for uid in sorted(found)]

    def fetch(self, wanted: Sequence[Instance], receive: Callable[[Instance, bytes], None]) -> None:
        """See :class:`validation.dicom.pacs.query.Channel`; four connections at a time."""
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            waiting: list[Any] = [pool.submit(self._get, instance) for instance in wanted[: 2 * _CONNECTIONS]]
            try:
                for k, instance in enumerate(wanted):
                    data = waiting[k].result()
                    waiting[k] = None  # so that memory holds a few objects only
                    if k + 2 * _CONNECTIONS < len(wanted):
                        waiting.append(pool.submit(self._get, wanted[k + 2 * _CONNECTIONS]))
                    receive(instance, data)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def store(self, files: Iterable[Path], stored: Callable[[Path, str], None]) -> None:
        """See :class:`validation.dicom.pacs.query.Channel`; one object per request, so that each has its answer."""
        for path in files:
            stored(path, self._asked(lambda path=path: self._post(path)))  # type: ignore[misc]

    def close(self) -> None:
        """End all connections."""
        self._session.close()

    def _of_study(self, uid: str) -> Callable[..., Any]:
        return lambda **arguments: self._client.search_for_series(uid, **arguments)

    def _pages(self, search: Callable[..., Any], filters: dict[str, str], key: str) -> Iterator[Any]:
        """Yield answers page by page until one brings nothing new: an archive may ignore limit and offset."""
        from pydicom.dataset import Dataset

        seen: set[str] = set()
        while True:
            offset = len(seen)
            page = self._asked(
                lambda offset=offset: search(search_filters=filters, limit=_PAGE, offset=offset)  # type: ignore[misc]
            )
            fresh = 0
            for raw in page:
                try:
                    answer = Dataset.from_json(raw)
                    uid = str(answer.get(key) or "")
                except Exception:  # pydicom lets many kinds of error out of strange JSON
                    raise failures.odd_answer(self._url, "it holds what is not the DICOM JSON model") from None
                if not is_uid(uid):
                    raise failures.odd_answer(self._url, f"it lists something without a valid {key}")
                if uid not in seen:
                    seen.add(uid)
                    fresh += 1
                    yield answer
            if fresh < _PAGE:
                return

    def _get(self, instance: Instance) -> bytes:
        """Fetch one object as the bytes of its file."""
        if not all(map(is_uid, (instance.study, instance.series, instance.uid))):
            raise failures.odd_answer(self._url, "it lists something without a valid UID")
        url = f"{self._url}/studies/{instance.study}/series/{instance.series}/instances/{instance.uid}"

        def get() -> bytes:
            with self._session.get(
                url, headers={"Accept": _ACCEPT}, stream=True, timeout=self._server.timeout_s, allow_redirects=False
            ) as response:
                response.raise_for_status()
                body = self._read(response)
                return _only_part(body, response.headers.get("Content-Type", ""), self._url)

        return bytes(self._asked(get))

    def _post(self, path: Path) -> str:
        """Send one file; return the reason of a refusal, or nothing."""
        data = path.read_bytes()
        boundary = secrets.token_hex(16)
        while boundary.encode() in data:
            boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        response = self._session.post(
            f"{self._url}/studies",
            data=head + data + f"\r\n--{boundary}--\r\n".encode(),
            headers={
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
                "Accept": "application/dicom+json",
            },
            timeout=self._server.timeout_s,
            allow_redirects=False,
        )
        if response.status_code in (400, 409, 413, 415):
            return _failure_of(response.content) or f"HTTP {response.status_code}"
        response.raise_for_status()
        return _failure_of(response.content)

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """Ask, and ask again while the connection breaks; turn what goes wrong into a problem."""
        for attempt in range(1, self._server.attempts + 1):
            try:
                return self._once(ask)
            except failures.Interrupted:
                if attempt == self._server.attempts:
                    raise
                time.sleep(min(0.2 * 2**attempt, 10.0))
        raise AssertionError("unreachable")

    def _once(self, ask: Callable[[], Any]) -> Any:
        import requests

        try:
            return ask()
        except DataProblem:
            raise
        except requests.exceptions.SSLError as problem:
            raise failures.insecure(self._url, _why_tls(problem)) from None
        except requests.HTTPError as problem:
            status = problem.response.status_code if problem.response is not None else 0
            if status in (401, 403):
                raise failures.forbidden(self._url, status) from None
            if status in (408, 425, 429, 500, 502, 503, 504):
                raise failures.unreachable(self._url, f"HTTP {status}") from None
            raise failures.odd_answer(self._url, f"HTTP {status}") from None
        except requests.exceptions.JSONDecodeError:
            raise failures.odd_answer(self._url, "it is not JSON") from None
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as problem:
            raise failures.unreachable(self._url, type(problem).__name__) from None
        except (requests.RequestException, ValueError, KeyError, TypeError) as problem:
            raise failures.odd_answer(self._url, type(problem).__name__) from None

    def _bound(self, response: Any, *_arguments: Any, **options: Any) -> Any:
        """Read the body of an answer to a query up to the limit, before the library reads it without one."""
        if not options.get("stream"):
            response._content = self._read(response)
        return response

    def _read(self, response: Any) -> bytes:
        """Read a body up to the limit; close the connection where that fails."""
        try:
            return self._read_bounded(response)
        except BaseException:
            response.close()
            raise

    def _read_bounded(self, response: Any) -> bytes:
        limit = self._server.maximum_bytes
        if int(response.headers.get("Content-Length") or 0) > limit:
            raise failures.too_large(self._url, self._server.maximum_object_mb)
        chunks, size = [], 0
        for chunk in response.iter_content(1 << 18):
            size += len(chunk)
            if size > limit:
                raise failures.too_large(self._url, self._server.maximum_object_mb)
            chunks.append(chunk)
        return b"".join(chunks)


def _adapter() -> Any:
    """Return a transport that spells queries as PS3.18 does.

    The library writes a blank as ``+`` and the wildcards as ``%2A`` and ``%3F``; some archives take these as they are
    and find nothing.
    """
    from requests.adapters import HTTPAdapter

    class Plain(HTTPAdapter):
        def send(self, request: Any, *arguments: Any, **options: Any) -> Any:
            path, mark, query = str(request.url).partition("?")
            request.url = path + mark + query.replace("+", "%20").replace("%2A", "*").replace("%3F", "?")
            return super().send(request, *arguments, **options)

    return Plain(pool_connections=_CONNECTIONS, pool_maxsize=_CONNECTIONS)


def _only_part(body: bytes, content_type: str, where: str) -> bytes:
    """Return the one part of a multipart answer; a bare ``application/dicom`` answer is taken as it is."""
    if content_type.startswith("application/dicom"):
        return body
    boundary = ""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "boundary":
            boundary = value.strip().strip('"')
    mark = b"--" + boundary.encode()
    start = body.find(mark)
    if not content_type.startswith("multipart/related") or not boundary or start < 0:
        raise failures.odd_answer(where, "it is not multipart/related")
    content = body.find(b"\r\n\r\n", start)
    end = body.rfind(b"\r\n" + mark + b"--")
    if content < 0 or end < content + 4 or body.find(b"\r\n" + mark, content, end) >= 0:
        raise failures.odd_answer(where, "it holds no object, several, or only a part of one")
    return body[content + 4 : end]


def _failure_of(content: bytes) -> str:
    """Return why an object was not stored (PS3.18 10.5.3), or nothing."""
    try:
        answer = json.loads(content or b"{}")
        answer = answer[0] if isinstance(answer, list) and answer else answer
        items = answer.get("00081198", {}).get("Value") or []
        if not items:
            return ""
        reason = (items[0].get("00081197", {}).get("Value") or [0])[0]
        return f"failure reason {int(reason):04X}H"
    except (ValueError, AttributeError, TypeError, KeyError, IndexError):
        return ""


def _why_tls(problem: Exception) -> str:
    text = str(problem)
    for needle, words in (
        (
            "CERTIFICATE_VERIFY_FAILED",
            "the archive's certificate is not signed by one that is trusted, or names another host",
        ),
        ("CERTIFICATE_REQUIRED", "the archive asks for a certificate"),
        ("HANDSHAKE_FAILURE", "the archive breaks off the handshake"),
        ("WRONG_VERSION_NUMBER", "the archive does not speak TLS at this port"),
    ):
        if needle in text.upper().replace(" ", "_"):
            return words
    return ssl.SSLError.__name__
