"""The archive that a person names in a settings file: addresses, names, certificates; never a password."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from validation.errors import UsageProblem

_TITLE = r"^[ !-\[\]-~]{1,16}$"  # AE (PS3.5 6.2): 16 printable characters without backslash


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(_Part):
    """Certificates, as paths relative to the settings file."""

    ca: str | None = Field(default=None, description="Certificates of those who sign the archive's certificate (PEM).")
    certificate: str | None = Field(default=None, description="Own certificate, where the archive asks for one (PEM).")
    key: str | None = Field(default=None, description="Private key of the own certificate (PEM).")


class Web(_Part):
    """A DICOMweb service (PS3.18)."""

    url: str
    token_env: str | None = Field(default=None, description="Environment variable that holds a bearer token.")
    user_env: str | None = Field(default=None, description="Environment variable that holds the user name.")
    password_env: str | None = Field(default=None, description="Environment variable that holds the password.")
    tls: Tls = Tls()

    @field_validator("url")
    @classmethod
    def _plain(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError("give an http or https address without user and password")
        return url.rstrip("/")


class Dimse(_Part):
    """A DICOM application entity (PS3.7, PS3.8)."""

    host: str
    port: int = Field(ge=1, le=65535)
    called: str = Field(pattern=_TITLE, description="AE title of the archive.")
    calling: str = Field(pattern=_TITLE, description="Own AE title, as the archive knows it.")
    retrieve: Literal["get", "move"] = "get"
    associations: int = Field(default=4, ge=1, le=16, description="Associations at one time.")
    listen_port: int = Field(default=0, ge=0, le=65535, description="Port for C-MOVE, as the archive knows it.")
    listen_host: str = Field(default="127.0.0.1", description="Address to listen on for C-MOVE.")
    tls: Tls | None = None


class Server(_Part):
    """One archive."""

    name: str = Field(min_length=1, max_length=64)
    dicomweb: Web | None = None
    dimse: Dimse | None = None
    timeout_s: float = Field(default=30.0, gt=0, le=3600)
    attempts: int = Field(default=4, ge=1, le=20, description="Tries of one transfer before giving up.")
    maximum_object_mb: float = Field(default=1024.0, gt=0, description="Largest object or answer that is accepted.")
    folder: Path = Field(default=Path(), exclude=True)

    @property
    def maximum_bytes(self) -> int:
        """Return the largest object or answer that is accepted, in bytes."""
        return int(self.maximum_object_mb * 2**20)

    def channels(self) -> list[str]:
        """Return the channels that the file describes."""
        return [name for name in ("dicomweb", "dimse") if getattr(self, name) is not None]

    def facts(self) -> dict[str, object]:
        """Return what a record says about the archive: no secrets, no names of users."""
        web, dimse = self.dicomweb, self.dimse
        facts: dict[str, object] = {"name": self.name}
        if web is not None:
            authentication = "bearer token" if web.token_env else "user and password" if web.user_env else "none"
            if web.tls.certificate:
                authentication += ", client certificate"
            facts["dicomweb"] = {"url": web.url, "tls": web.url.startswith("https"), "authentication": authentication}
        if dimse is not None:
            facts["dimse"] = {
                "host": dimse.host, "port": dimse.port, "called": dimse.called, "calling": dimse.calling,
                "retrieve": dimse.retrieve, "tls": dimse.tls is not None,
            }  # fmt: skip
        return facts


def load_server(path: Path) -> Server:
    """Read the settings of an archive.

    Raises
    ------
    UsageProblem
        PACS-010 if the file is missing or wrong.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            raise _wrong("it is no YAML mapping", path)
        server = Server.model_validate({**raw, "folder": path.resolve().parent})
    except FileNotFoundError:
        raise _wrong("there is no such file", path) from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as problem:
        raise _wrong(f"it cannot be read ({type(problem).__name__})", path) from None
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _wrong(f"{place}: {first['msg']}", path) from None
    if not server.channels():
        raise _wrong("it names neither dicomweb nor dimse", path)
    return server


def secret(variable: str) -> str:
    """Return a secret from the environment.

    Raises
    ------
    UsageProblem
        PACS-010 if the variable is not set.
    """
    value = os.environ.get(variable, "")
    if not value:
        raise UsageProblem(
            f"the environment variable {variable} is not set.",
            code="PACS-010",
            why="The archive asks for it, and secrets are not kept in files of a study.",
            action=f"Set {variable} for this command.",
        )
    return value


def certificate_file(server: Server, name: str | None) -> str | None:
    """Return the path of a certificate or key that the settings name.

    Raises
    ------
    UsageProblem
        PACS-010 if it is not there.
    """
    if name is None:
        return None
    path = server.folder / name
    if not path.is_file():
        raise _wrong(f"the file {name} is not there", server.folder)
    return str(path)


def tls_context(server: Server, tls: Tls, *, listening: bool = False) -> ssl.SSLContext:
    """Return a TLS context, at least version 1.2, that checks the peer's certificate (PS3.15 B.9, B.10).

    A context for listening asks for a certificate where ``ca`` is given.
    """
    try:
        if listening:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            if tls.ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(certificate_file(server, tls.ca))
        else:
            context = ssl.create_default_context(cafile=certificate_file(server, tls.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        certificate = certificate_file(server, tls.certificate)
        if certificate is not None:
            context.load_cert_chain(certificate, certificate_file(server, tls.key))
    except (ssl.SSLError, OSError) as problem:
        raise _wrong(f"a certificate or key cannot be used ({type(problem).__name__})", server.folder) from None
    return context


def _wrong(what: str, path: Path) -> UsageProblem:
    return UsageProblem(
        f"the settings of the archive are wrong: {what}.",
        code="PACS-010",
        where=str(path),
        action="See docs/pacs.md for the form of the file.",
    )
