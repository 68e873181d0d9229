"""A private certificate authority: one certificate for the broker, one for each party."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from typing import Final

from hanse.errors import UsageError

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
except ImportError:
    raise UsageError("a federation over a network needs cryptography: pip install 'hanse[nats]'") from None

__all__ = ["Authority", "Pair"]

_CA_DAYS: Final = 3650
_CERTIFICATE_DAYS: Final = 825
_CLOCK_SKEW: Final = datetime.timedelta(hours=1)
_OID: Final = x509.oid.ExtendedKeyUsageOID


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both PEM.

    Args:
        certificate: may be shown.
        key: PKCS 8, without a password; for its owner only.
        expires: the certificate's last day.
    """

    certificate: bytes
    key: bytes
    expires: datetime.date


@dataclass(frozen=True)
class Authority:
    """Signs certificates of one federation.

    Args:
        certificate: its own.
        key: its private key; whoever has it can be any party towards the broker.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls) -> tuple[Authority, Pair]:
        """Make a new authority, and what to store of it."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Hanse federation")
        certificate = (
            _builder(name, name, key, _CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key), _pair(certificate, key)

    @classmethod
    def load(cls, certificate: bytes, key: bytes) -> Authority:
        """Read a stored authority.

        Raises:
            ValueError: not PEM, or another kind of key.
        """
        loaded = serialization.load_pem_private_key(key, password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError("the certificate authority's key is of another kind")
        return cls(x509.load_pem_x509_certificate(certificate), loaded)

    def pem(self) -> bytes:
        """Its own certificate, which everybody needs."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def broker(self, host: str) -> Pair:
        """A server certificate.

        Args:
            host: the name or address that parties dial; this machine's own names are added.
        """
        names = dict.fromkeys([host, "localhost", "127.0.0.1", "::1"])
        return self._sign("broker", [_alternative(name) for name in names], _OID.SERVER_AUTH)

    def party(self, name: str, uri: str) -> Pair:
        """A client certificate.

        Args:
            name: of the party.
            uri: what the broker maps to permissions; new with each certificate, so that an old one is worth nothing.
        """
        return self._sign(name, [x509.UniformResourceIdentifier(uri)], _OID.CLIENT_AUTH)

    def _sign(self, name: str, alternatives: list[x509.GeneralName], purpose: x509.ObjectIdentifier) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name(name), self.certificate.subject, key, _CERTIFICATE_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        return _pair(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.not_valid_after_utc.date(),
    )
