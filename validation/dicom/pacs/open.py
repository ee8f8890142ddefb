"""Opening a channel to an archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from validation.dicom.pacs.query import Channel
from validation.dicom.pacs.settings import Server
from validation.errors import UsageProblem


@contextmanager
def open_channel(server: Server, via: str = "") -> Iterator[Channel]:
    """Open a channel (``dicomweb`` or ``dimse``; the first that the settings describe), and close it at the end.

    Raises
    ------
    UsageProblem
        PACS-010 if the settings do not describe that channel.
    """
    via = via or server.channels()[0]
    if via not in server.channels():
        raise UsageProblem(
            f"the settings of the archive {server.name!r} do not describe {via!r}.",
            code="PACS-010",
            where="--via",
            action=f"Choose from {', '.join(server.channels())}, or complete the file.",
        )
    if via == "dicomweb":
        from validation.dicom.pacs.web import WebChannel

        channel: Channel = WebChannel(server)
    else:
        from validation.dicom.pacs.dimse import DimseChannel

        channel = DimseChannel(server)
    try:
        yield channel
    finally:
        channel.close()
