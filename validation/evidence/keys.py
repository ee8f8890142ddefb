"""Keys: making them, loading a signer from a file or a hardware module, and the folder of keys that are trusted.

A key is Ed25519 (made here) or ECDSA P-256/P-384 (made elsewhere, for hardware modules and FIPS sites). Its id is the
SHA-256 of the DER form of the public key (SubjectPublicKeyInfo), which anyone can recompute::

    openssl pkey -pubin -in signer.pub.pem -outform DER | sha256sum
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from validation.digest import sha256_bytes, write_atomically
from validation.errors import IntegrityProblem, UsageProblem

if TYPE_CHECKING:
    from securesystemslib.signer import Key, Signer

PASSPHRASE_VARIABLE = "VALIDATION_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
PUBLIC_SUFFIX = ".pub.pem"
_PRIVATE_SUFFIX = ".pem"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_URI = re.compile(r"(hsm|awskms|gcpkms|azurekms|hv|file2|tkey):")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: its id, its PEM text in the one form that this program writes, and its name in a trust folder."""

    key_id: str
    pem: str
    name: str = ""

    @classmethod
    def from_pem(cls, data: bytes, *, where: str, name: str = "") -> PublicKey:
        """Parse a PEM public key and insist on its exact form, so that no byte of the file can change unseen.

        Raises
        ------
        IntegrityProblem
            EVD-030 if it is not an Ed25519 or ECDSA public key in that form.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            key = load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
            raise _bad_key(where, "it is not an Ed25519 or ECDSA public key in PEM form")
        public = _describe(key, name)
        if public.pem.encode() != data:
            raise _bad_key(where, "its bytes are not the standard PEM form of the key they hold")
        return public

    def verifier(self) -> Key:
        """Return the key as securesystemslib verifies with it."""
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
        from securesystemslib.signer import SSlibKey

        return SSlibKey.from_crypto(load_pem_public_key(self.pem.encode()), keyid=self.key_id)


def generate_key(name: str, folder: Path, *, passphrase: str = "") -> tuple[Path, Path, PublicKey]:
    """Make an Ed25519 key pair: ``NAME.pem`` (private, mode 0600, PKCS#8) and ``NAME.pub.pem``.

    Parameters
    ----------
    name
        Name of the holder or the role; it becomes the file name and is what ``verify --trust`` prints.
    folder
        Where the two files go.
    passphrase
        Encrypts the private key when not empty.

    Returns
    -------
    tuple
        Path of the private key, path of the public key, the public key.

    Raises
    ------
    UsageProblem
        EVD-031 if the name is not a plain file name, or a key of that name exists (it is never overwritten).
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not _NAME.fullmatch(name):
        raise UsageProblem(
            "a key is named with letters, digits, dot, dash and underscore.",
            code="EVD-031",
            where="NAME",
            action="Choose a name such as qa-lead.",
        )
    private_path, public_path = folder / f"{name}{_PRIVATE_SUFFIX}", folder / f"{name}{PUBLIC_SUFFIX}"
    for path in (private_path, public_path):
        if path.exists() or path.is_symlink():
            raise UsageProblem(
                f"there is already a key named {name!r}.",
                code="EVD-031",
                where=str(path),
                why="Overwriting it would leave signatures that nobody can verify.",
                action="Choose another name, or move the old key away yourself.",
            )
    private = Ed25519PrivateKey.generate()
    protection = form.BestAvailableEncryption(passphrase.encode()) if passphrase else form.NoEncryption()
    data = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, protection)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(private_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    public = _describe(private.public_key(), name)
    write_atomically(public_path, public.pem.encode())
    return private_path, public_path, public


def load_signer(key: str, *, public_key: Path | None = None, secret: Callable[[str], str] | None = None) -> Signer:
    """Return what signs: a private key file, or a key that never leaves its module.

    Parameters
    ----------
    key
        Path of a PEM private key, or a securesystemslib key URI: ``hsm:2?label=...`` (PKCS#11, with ``PYKCS11LIB`` set
        and python-pkcs11 installed), ``awskms:``, ``gcpkms:``, ``azurekms:``, ``hv:`` (Vault), ``tkey:``,
        ``file2:PATH``.
    public_key
        PEM of the public half; needed for a URI, optional for a file.
    secret
        Asked for a passphrase or PIN (its argument names what is wanted); :func:`ask_secret` when left out.

    Raises
    ------
    UsageProblem
        EVD-032 if the key cannot be read or used, EVD-033 if a passphrase or PIN is missing or wrong.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner, Signer, SSlibKey

    if _URI.match(key):
        if public_key is None:
            raise _bad_signer(key, "a key URI needs the public half too: --public-key FILE")
        public = PublicKey.from_pem(public_key.read_bytes(), where=str(public_key))
        try:
            return Signer.from_priv_key_uri(key, public.verifier(), secret or ask_secret)
        except Exception as problem:  # each kind of module raises its own errors; all mean that it cannot sign
            raise _bad_signer(key.partition(":")[0], f"{type(problem).__name__}: {problem}") from problem
    try:
        data = Path(key).read_bytes()
    except OSError as problem:
        raise _bad_signer(key, str(problem.strerror or problem)) from None
    password = None
    if b"ENCRYPTED PRIVATE KEY" in data:
        password = (secret or ask_secret)("passphrase").encode()
    try:
        private = load_pem_private_key(data, password)
        public = _describe(private.public_key())
        return CryptoSigner(private, SSlibKey.from_crypto(private.public_key(), keyid=public.key_id))
    except (ValueError, TypeError) as problem:
        if password:
            raise _bad_secret(key, "the passphrase does not open the key") from None
        raise _bad_signer(key, "it is not an Ed25519 or ECDSA private key in PEM form") from problem


def ask_secret(wanted: str) -> str:
    """Return a passphrase or PIN from ``VALIDATION_KEY_PASSPHRASE``, or from the person at the terminal.

    Raises
    ------
    UsageProblem
        EVD-033 if there is neither.
    """
    value = os.environ.get(PASSPHRASE_VARIABLE, "")
    if not value and sys.stdin is not None and sys.stdin.isatty():
        value = getpass(f"{wanted} of the signing key: ")
    if not value:
        raise _bad_secret(PASSPHRASE_VARIABLE, f"the key needs a {wanted} and none was given")
    return value


def public_half(signer: Signer) -> PublicKey:
    """Return the public key of a signer."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = signer.public_key
    text = key.keyval["public"]  # raw hexadecimal for Ed25519, PEM for ECDSA
    if key.keytype == "ed25519":
        return _describe(Ed25519PublicKey.from_public_bytes(bytes.fromhex(text)))
    return _describe(load_pem_public_key(text.encode()))


def read_trust(folder: Path) -> dict[str, PublicKey]:
    """Return the public keys ``*.pub.pem`` of a trust folder by key id; private keys beside them are not opened.

    Raises
    ------
    UsageProblem
        EVD-034 if the folder holds none: trusting nobody is not a check.
    """
    keys = {}
    for path in sorted(folder.glob(f"*{PUBLIC_SUFFIX}")) if folder.is_dir() else []:
        key = PublicKey.from_pem(path.read_bytes(), where=str(path), name=path.name.removesuffix(PUBLIC_SUFFIX))
        keys[key.key_id] = key
    if not keys:
        raise UsageProblem(
            f"no public key ({'*' + PUBLIC_SUFFIX}) lies in the trust folder.",
            code="EVD-034",
            where=str(folder),
            why="A signature proves who signed only against keys that you hold from the signer.",
            action="Put the public keys of the people you trust into the folder.",
        )
    return keys


def _describe(key: Any, name: str = "") -> PublicKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(key_id=sha256_bytes(der), pem=pem.decode(), name=name)


def _bad_key(where: str, why: str) -> IntegrityProblem:
    return IntegrityProblem(
        f"the public key is refused: {why}.",
        code="EVD-030",
        where=where,
        why="A signature cannot be checked with it.",
        action="Restore the file, or ask the signer for the key again.",
    )


def _bad_signer(where: str, why: str) -> UsageProblem:
    return UsageProblem(
        f"the signing key cannot be used: {why}.",
        code="EVD-032",
        where=where,
        why="Without it the record is not signed.",
        action="Make a key with `validation keygen NAME --out keys/`, or check the URI of the module.",
    )


def _bad_secret(where: str, why: str) -> UsageProblem:
    return UsageProblem(
        f"{why}.",
        code="EVD-033",
        where=where,
        why="An encrypted key signs nothing without it.",
        action=f"Type it when asked, or set {PASSPHRASE_VARIABLE}.",
    )
