"""How a party reaches the broker and whom it trusts: the ``[federation]`` table of silo.toml, and coordinator.toml."""

from __future__ import annotations

import re
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from hanse.errors import HanseError, TransportError, UsageError, nearest
from hanse.transports.keys import Identity, Keyring, PublicKey
from hanse.workspace import read_file

try:
    from cryptography import x509
except ImportError:
    raise UsageError("a federation over a network needs cryptography: pip install 'hanse[nats]'") from None

__all__ = ["CONNECTION_KEYS", "COORDINATOR", "PARTY_CURE", "PARTY_NAME", "ConnectionSettings", "CoordinatorSettings"]

COORDINATOR: Final = "coordinator"
"""The coordinator's subject, and the audience of every reply."""

PARTY_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}", re.ASCII)
"""How a party may be called: it is a folder, a token of NATS subjects and a name in SQL."""

PARTY_CURE: Final = "need a letter, then letters, digits, _ or -, 63 at most"

CONNECTION_KEYS: Final = ("server", "ca", "certificate", "certificate_key", "identity", "subject", "coordinators")
"""The keys of ``[federation]``, all flat."""

_FILES: Final = {
    "ca": "ca.pem",
    "certificate": "certificate.pem",
    "certificate_key": "certificate.key",
    "identity": "identity.key",
}
_LIMIT_BYTES: Final = 1_000_000
_ROTATE: Final = "hanse federation rotate makes it anew"


@dataclass(frozen=True)
class ConnectionSettings:
    """One party's way to the broker.

    Args:
        server: ``tls://host:port``.
        ca: the certificate authority that vouches for the broker.
        certificate: this party's certificate; the broker maps it to what the party may send and receive.
        certificate_key: its private key.
        identity: the file with this party's private signing and sealing keys.
        subject: this party's name on the broker.
        coordinators: for a silo: the keys of the coordinators that it answers.
    """

    server: str
    ca: Path
    certificate: Path
    certificate_key: Path
    identity: Path
    subject: str
    coordinators: tuple[PublicKey, ...] = ()

    @classmethod
    def from_table(
        cls, table: Mapping[str, object], base_dir: Path, *, where: str = "[federation]"
    ) -> ConnectionSettings:
        """Read the ``[federation]`` table.

        Only ``server`` (and at a silo ``coordinators``) must be given; the files have the names that
        ``hanse federation init`` gives them.

        Args:
            table: flat keys, see :data:`CONNECTION_KEYS`.
            base_dir: what relative paths are relative to.
            where: named in errors.

        Raises:
            UsageError: a key that is unknown, missing or of the wrong type, or a certificate that cannot be read.
        """
        for key in table:
            if key not in CONNECTION_KEYS:
                raise UsageError(f"{where} {key}: no such key: {nearest(key, CONNECTION_KEYS)}")
        files = {key: base_dir / _text(table, key, where, default) for key, default in _FILES.items()}
        server = _server(_text(table, "server", where), where)
        listed = table.get("coordinators", [])
        if not isinstance(listed, list):
            raise UsageError(f'{where} coordinators = {listed!r}: need a list: coordinators = ["hanse-key:..."]')
        keys = tuple(PublicKey.parse(key, f"{where} coordinators") for key in listed)
        subject = _text(table, "subject", where, "") or _common_name(files["certificate"], where)
        if not PARTY_NAME.fullmatch(subject):
            raise UsageError(f"{where} subject = {subject!r}: {PARTY_CURE}")
        return cls(server=server, subject=subject, coordinators=keys, **files)

    def own_identity(self) -> Identity:
        """This party's private keys.

        Raises:
            UsageError: see :meth:`hanse.transports.keys.Identity.load`.
        """
        return Identity.load(self.identity)

    def trusted_coordinators(self) -> Keyring:
        """The coordinators that a silo answers.

        Raises:
            UsageError: there is none.
        """
        if not self.coordinators:
            raise UsageError(
                '[federation] coordinators is empty: name the public key of one: coordinators = ["hanse-key:..."]'
            )
        return Keyring(self.coordinators)

    def tls(self) -> ssl.SSLContext:
        """Mutual TLS 1.3 with this party's certificate.

        Raises:
            TransportError: a file is missing or no certificate.
        """
        for name, path in (
            ("ca", self.ca),
            ("certificate", self.certificate),
            ("certificate_key", self.certificate_key),
        ):
            if not path.is_file():
                raise TransportError(f"{name}: {path} does not exist: check the path; {_ROTATE}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_verify_locations(cafile=self.ca)
        except (ssl.SSLError, OSError) as error:
            raise TransportError(f"ca: {self.ca} is no certificate ({_reason(error)}): copy it anew") from None
        try:
            context.load_cert_chain(self.certificate, self.certificate_key, password=_no_password)
        except (ssl.SSLError, OSError, TransportError) as error:
            raise TransportError(
                f"certificate: {self.certificate} and {self.certificate_key} are no pair ({_reason(error)}): {_ROTATE}"
            ) from None
        return context


@dataclass(frozen=True)
class CoordinatorSettings:
    """The coordinator's way to the broker, and the silos' keys.

    Args:
        connection: its own way.
        silos: the public key of each silo, by its subject.
    """

    connection: ConnectionSettings
    silos: Mapping[str, PublicKey]

    @classmethod
    def load(cls, path: str | Path) -> CoordinatorSettings:
        """Read coordinator.toml.

        Raises:
            UsageError: it cannot be read, or says something that does not exist.
        """
        file = Path(path)
        try:
            table = tomllib.loads(read_file(file, limit_bytes=_LIMIT_BYTES).decode("utf-8"))
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{file} is not TOML: {error}") from None
        except HanseError as error:
            raise UsageError(f"{error}; hanse federation init makes one") from None
        for key in table:
            if key not in ("federation", "silos"):
                raise UsageError(f"{file}: {key}: no such key: {nearest(key, ['federation', 'silos'])}")
        connection, silos = table.get("federation"), table.get("silos", {})
        if not isinstance(connection, dict) or not isinstance(silos, dict):
            raise UsageError(
                f"{file}: need a table [federation] with the broker and a table [silos] with the silos' keys"
            )
        if "coordinators" in connection:
            raise UsageError(f"{file}: [federation] coordinators belongs into a silo's file: leave it out")
        return cls(
            ConnectionSettings.from_table(connection, file.parent, where=f"{file}: [federation]"),
            {name: PublicKey.parse(key, f"{file}: [silos] {name}") for name, key in sorted(silos.items())},
        )


def _text(table: Mapping[str, object], key: str, where: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if value is None:
        raise UsageError(f'{where} {key} is missing: write {key} = "..."')
    if not isinstance(value, str) or (not value.strip() and value != default):
        raise UsageError(f"{where} {key} = {value!r}: need a text in quotes")
    return value


def _server(text: str, where: str) -> str:
    cure = "need tls://HOST:PORT, as tls://127.0.0.1:4222"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise UsageError(f"{where} server = {text!r}: {cure}") from None
    if parts.scheme != "tls" or not parts.hostname or parts.username or parts.path.strip("/") or parts.query:
        raise UsageError(f"{where} server = {text!r}: {cure}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"tls://{host}:{port or 4222}"


def _common_name(path: Path, where: str) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(read_file(path, limit_bytes=_LIMIT_BYTES))
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(names[0].value)
    except (ValueError, IndexError):
        raise UsageError(f"{where} certificate: {path} is no certificate with a name: {_ROTATE}") from None
    except HanseError as error:
        raise UsageError(f"{where} certificate: {error}; {_ROTATE}") from None


def _no_password() -> str:
    raise TransportError("the private key has a password: remove it (openssl pkey), for a silo starts unattended")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").lower().replace("_", " ")
    if isinstance(error, OSError):
        return error.strerror or "not readable"
    return str(error)
