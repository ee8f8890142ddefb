"""An archive over DIMSE (PS3.4 Annex B and C): C-FIND to find, C-GET or C-MOVE to fetch, C-STORE to store."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from validation.dicom.pacs import failures
from validation.dicom.pacs.query import SERIES_KEYS, STUDY_KEYS, Instance, Query, Series, is_uid, number_of
from validation.dicom.pacs.settings import Server, tls_context
from validation.dicom.services import pulled_classes, transfer_syntaxes
from validation.errors import DataProblem

VERIFICATION = "1.2.840.10008.1.1"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
_PENDING = (0xFF00, 0xFF01)
_AT_ONCE = 25
_CONTEXTS = 120  # PS3.8 allows 128 presentation contexts


class DimseChannel:
    """See :class:`validation.dicom.pacs.query.Channel`."""

    name = "dimse"

    def __init__(self, server: Server) -> None:
        assert server.dimse is not None  # noqa: S101 - open_channel looks
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it logs identifiers of patients
        logging.getLogger("pynetdicom").propagate = False
        self._server, self._peer = server, server.dimse
        self._where = f"{self._peer.called}@{self._peer.host}:{self._peer.port}"

    def reach(self) -> None:
        """Verify by C-ECHO."""
        self._again(self._echo)

    def find_series(self, query: Query) -> list[Series]:
        """See :class:`validation.dicom.pacs.query.Channel`."""
        found: dict[str, Series] = {}
        for study in self._find("STUDY", dict.fromkeys(STUDY_KEYS, "") | query.study_filters()):
            if not query.matches_study(study):
                continue
            uid = str(study.get("StudyInstanceUID") or "")
            keys = {"StudyInstanceUID": uid} | dict.fromkeys(SERIES_KEYS, "") | query.series_filters()
            for answer in self._find("SERIES", keys):
                if query.matches_series(answer):
                    series = self._checked(answer, "SeriesInstanceUID")
                    found[series] = Series(
                        study=self._checked(study, "StudyInstanceUID"),
                        uid=series,
                        modality=str(answer.get("Modality") or ""),
                        description=str(answer.get("SeriesDescription") or ""),
                        number=number_of(answer, "SeriesNumber"),
                        patient=str(study.get("PatientID") or ""),
                    )
        return [found[uid] for uid in sorted(found)]

    def find_instances(self, series: Series) -> list[Instance]:
        """See :class:`validation.dicom.pacs.query.Channel`."""
        keys = {
            "StudyInstanceUID": series.study, "SeriesInstanceUID": series.uid, "SOPInstanceUID": "",
            "SOPClassUID": "", "InstanceNumber": "",
        }  # fmt: skip
        found = {}
        for answer in self._find("IMAGE", keys):
            uid = self._checked(answer, "SOPInstanceUID")
            found[uid] = Instance(
                study=series.study,
                series=series.uid,
                uid=uid,
                sop_class=str(answer.get("SOPClassUID") or ""),
                number=number_of(answer, "InstanceNumber"),
            )
        return [found[uid] for uid in sorted(found)]

    def fetch(self, wanted: Sequence[Instance], receive: Callable[[Instance, bytes], None]) -> None:
        """See :class:`validation.dicom.pacs.query.Channel`; series by series, what is missing is asked for again."""
        by_series: dict[str, dict[str, Instance]] = {}
        for instance in wanted:
            by_series.setdefault(instance.series, {})[instance.uid] = instance
        for missing in by_series.values():
            self._series(missing, receive)

    def store(self, files: Iterable[Path], stored: Callable[[Path, str], None]) -> None:
        """See :class:`validation.dicom.pacs.query.Channel`; one association per kind of object and transfer syntax."""
        from pydicom import dcmread

        groups: dict[tuple[str, str], list[Path]] = {}
        for path in files:
            head = dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
            groups.setdefault((str(head.SOPClassUID), str(head.file_meta.TransferSyntaxUID)), []).append(path)
        lock = threading.Lock()

        def tell(path: Path, reason: str) -> None:
            with lock:
                stored(path, reason)

        with ThreadPoolExecutor(self._peer.associations) as pool:
            jobs = [
                pool.submit(self._send, sop_class, syntax, paths[k :: self._peer.associations], tell)
                for (sop_class, syntax), paths in groups.items()
                for k in range(min(self._peer.associations, len(paths)))
            ]
        for job in jobs:
            job.result()

    def close(self) -> None:
        """Do nothing: associations end with what they were made for."""

    def _send(self, sop_class: str, syntax: str, waiting: list[Path], stored: Callable[[Path, str], None]) -> None:
        """Send files of one kind over one association, and go on over another where it breaks."""

        def send() -> None:
            with self._association([(sop_class, [syntax])]) as association:
                while waiting:
                    reason = self._sent(association, waiting[0])
                    stored(waiting.pop(0), reason)

        try:
            self._again(send)
        except _NoContext:
            for path in waiting:
                stored(path, "the archive does not accept this kind of object in its transfer syntax")

    def _echo(self) -> None:
        with self._association([(VERIFICATION, ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])]) as association:
            self._status(association.send_c_echo())

    def _find(self, level: str, keys: dict[str, str]) -> list[Any]:
        from pydicom.dataset import Dataset

        identifier = Dataset()
        identifier.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(identifier, keyword, value)
        if not all(value.isascii() for value in keys.values()):
            identifier.SpecificCharacterSet = "ISO_IR 192"

        def ask() -> list[Any]:
            answers = []
            with self._association([(FIND, ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])]) as association:
                for status, answer in association.send_c_find(identifier, FIND):
                    self._status(status, pending=True)
                    if status.Status in _PENDING:
                        if answer is None:
                            raise failures.odd_answer(self._where, "a match that cannot be decoded")
                        answers.append(answer)
            return answers

        return list(self._again(ask))

    def _series(self, missing: dict[str, Instance], receive: Callable[[Instance, bytes], None]) -> None:
        """Fetch the objects of one series in portions, each tried again while some of it is missing."""
        keeper = _Keeper(self._server, self._where, missing, receive)
        uids = list(missing)
        portions = [[missing[uid] for uid in uids[k : k + _AT_ONCE]] for k in range(0, len(uids), _AT_ONCE)]
        at_once = 1 if self._peer.retrieve == "move" else self._peer.associations
        with ThreadPoolExecutor(at_once) as pool:
            jobs = [pool.submit(self._portion, portion, missing, keeper) for portion in portions]
        keeper.raise_own()
        for job in jobs:
            job.result()

    def _portion(self, portion: Sequence[Instance], missing: dict[str, Instance], keeper: _Keeper) -> None:
        for attempt in range(1, self._server.attempts + 1):
            left = [instance for instance in portion if instance.uid in missing]
            if not left:
                return
            keeper.raise_own()
            try:
                self._move(left, keeper) if self._peer.retrieve == "move" else self._get(left, keeper)
            except failures.Interrupted:
                keeper.raise_own()
                if attempt == self._server.attempts:
                    raise
            keeper.raise_own()
            if any(instance.uid in missing for instance in portion):
                if attempt == self._server.attempts:
                    raise failures.unreachable(self._where, "not every object was sent")
                time.sleep(min(0.2 * 2**attempt, 10.0))

    def _get(self, wanted: Sequence[Instance], keeper: _Keeper) -> None:
        from pynetdicom import build_role, evt

        classes = sorted({i.sop_class for i in wanted} - {""}) or list(pulled_classes())
        pairs = [(GET, ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])]
        pairs += [(sop_class, [syntax]) for sop_class in classes for syntax in transfer_syntaxes()]
        roles = [build_role(sop_class, scp_role=True) for sop_class in classes]
        handlers = [(evt.EVT_C_STORE, keeper.keep)]
        with self._association(pairs[:_CONTEXTS], roles, handlers) as association:
            for status, _ in association.send_c_get(self._identifier(wanted), GET):
                keeper.raise_own()
                self._status(status, pending=True)

    def _move(self, wanted: Sequence[Instance], keeper: _Keeper) -> None:
        from pynetdicom import AE, evt

        peer = self._peer
        listener = AE(ae_title=peer.calling)
        listener.require_called_aet = True
        for sop_class in pulled_classes():
            listener.add_supported_context(sop_class, list(transfer_syntaxes()))
        context = None if peer.tls is None else tls_context(self._server, peer.tls, listening=True)
        try:
            running: Any = listener.start_server(
                (peer.listen_host, peer.listen_port),
                block=False,
                evt_handlers=[(evt.EVT_C_STORE, keeper.keep)],
                ssl_context=context,
            )
        except OSError as problem:
            raise failures.unreachable(
                self._where, f"port {peer.listen_port} cannot be listened on: {problem.strerror}"
            ) from None
        try:
            with self._association([(MOVE, ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])]) as association:
                for status, _ in association.send_c_move(self._identifier(wanted), peer.calling, MOVE):
                    keeper.raise_own()
                    self._status(status, pending=True)
        finally:
            running.shutdown()

    def _identifier(self, wanted: Sequence[Instance]) -> Any:
        from pydicom.dataset import Dataset

        ds = Dataset()
        ds.QueryRetrieveLevel = "IMAGE"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = wanted[0].study, wanted[0].series
        ds.SOPInstanceUID = [i.uid for i in wanted]
        return ds

    def _sent(self, association: Any, path: Path) -> str:
        try:
            status = association.send_c_store(path)
        except ValueError as problem:
            if "presentation context" in str(problem):
                raise _NoContext from None
            return f"the file cannot be encoded ({type(problem).__name__})"
        if status is None or "Status" not in status:
            raise failures.unreachable(self._where, "the association ended")
        return "" if status.Status == 0 or status.Status & 0xF000 == 0xB000 else f"status {status.Status:04X}H"

    @contextmanager
    def _association(
        self, contexts: Sequence[tuple[str, Sequence[str]]], roles: Sequence[Any] = (), handlers: Sequence[Any] = ()
    ) -> Iterator[Any]:
        from pynetdicom import AE, evt

        ae = AE(ae_title=self._peer.calling)
        timeout = self._server.timeout_s
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = timeout
        ae.maximum_pdu_size = 0
        for abstract, syntaxes in contexts:
            ae.add_requested_context(abstract, list(syntaxes))
        tls = None
        if self._peer.tls is not None:
            tls = (tls_context(self._server, self._peer.tls), self._peer.host)
            self._handshake(tls[0])
        association = ae.associate(
            self._peer.host, self._peer.port, ae_title=self._peer.called, ext_neg=list(roles),
            evt_handlers=[(evt.EVT_CONN_OPEN, _without_delay), *handlers], tls_args=tls,
        )  # fmt: skip
        try:
            if not association.is_established:
                raise self._unestablished(association)
            yield association
        except BaseException:
            if association.is_established:
                association.abort()
            raise
        association.release()

    def _handshake(self, context: Any) -> None:
        """Try TLS before associating: the library drops the connection without saying why."""
        import ssl

        try:
            with (
                socket.create_connection((self._peer.host, self._peer.port), self._server.timeout_s) as plain,
                context.wrap_socket(plain, server_hostname=self._peer.host),
            ):
                pass
        except ssl.SSLError as problem:
            raise failures.insecure(self._where, problem.reason or type(problem).__name__) from None
        except OSError as problem:
            raise failures.unreachable(self._where, type(problem).__name__) from None

    def _unestablished(self, association: Any) -> DataProblem:
        if association.is_rejected:
            answer = association.acceptor.primitive
            reasons = {
                (1, 3): f"it does not know the calling AE title {self._peer.calling!r}",
                (1, 7): f"it does not answer to the called AE title {self._peer.called!r}",
            }
            source, reason = int(answer.result_source), int(answer.diagnostic)
            if answer.result == 2 and (source, reason) not in reasons:
                return failures.unreachable(self._where, "the association was rejected for now")
            return failures.refused_association(
                self._where, reasons.get((source, reason), f"source {source}, reason {reason}")
            )
        if association.is_aborted and association.acceptor.primitive is not None and not association.accepted_contexts:
            return failures.refused_association(self._where, "it accepts none of the services that are asked for")
        return failures.unreachable(self._where, "no association")

    def _status(self, status: Any, *, pending: bool = False) -> None:
        if status is None or "Status" not in status:
            raise failures.unreachable(self._where, "the association ended")
        code = int(status.Status)
        if code == 0 or (pending and code in _PENDING):
            return
        if code in (0xA701, 0xA702, 0xB000, 0xFE00):  # out of resources, some sub-operations failed, cancelled
            raise failures.unreachable(self._where, f"status {code:04X}H")
        if code == 0xA801:
            raise failures.refused_association(
                self._where, f"it does not know {self._peer.calling!r} as a destination of C-MOVE"
            )
        raise failures.odd_answer(self._where, f"status {code:04X}H")

    def _checked(self, answer: Any, keyword: str) -> str:
        uid = str(answer.get(keyword) or "")
        if not is_uid(uid):
            raise failures.odd_answer(self._where, f"it lists something without a valid {keyword}")
        return uid

    def _again(self, ask: Callable[[], Any]) -> Any:
        """Ask, and ask again while the connection breaks."""
        for attempt in range(1, self._server.attempts + 1):
            try:
                return ask()
            except failures.Interrupted:
                if attempt == self._server.attempts:
                    raise
                time.sleep(min(0.2 * 2**attempt, 10.0))
        raise AssertionError("unreachable")


def _without_delay(event: Any) -> None:
    """Send small messages without waiting for more (TCP_NODELAY), which halves the time of a transfer."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _NoContext(Exception):
    """The archive accepted the association, but not this kind of object."""


class _Keeper:
    """Takes the objects that the archive sends, on the library's threads; its own problem ends the retrieval."""

    def __init__(
        self, server: Server, where: str, missing: dict[str, Instance], receive: Callable[[Instance, bytes], None]
    ) -> None:
        self._server, self._where, self._missing, self._receive = server, where, missing, receive
        self._problem: BaseException | None = None
        self._lock = threading.Lock()

    def keep(self, event: Any) -> int:
        """Handle one C-STORE request; return its status (PS3.4 B.2.3)."""
        with self._lock:
            if self._problem is not None:
                return 0xA700
            try:
                if len(event.request.DataSet.getbuffer()) > self._server.maximum_bytes:
                    raise failures.too_large(self._where, self._server.maximum_object_mb)
                uid = str(event.request.AffectedSOPInstanceUID)
                if uid not in self._missing:
                    raise failures.another(self._where, "an object that was not asked for")
                self._receive(self._missing[uid], event.encoded_dataset())
                del self._missing[uid]
            except BaseException as problem:
                self._problem = problem
                return 0xA700
            return 0x0000

    def raise_own(self) -> None:
        """Raise what went wrong while an object was kept: not the archive's doing, so it is not tried again."""
        if self._problem is not None:
            raise self._problem
