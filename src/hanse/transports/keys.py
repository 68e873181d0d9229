"""A party's keys: one pair that signs, one pair that seals, each written as one line of text."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hanse.errors import HanseError, UsageError
from hanse.workspace import read_file

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hpke as _hpke  # noqa: F401  # since cryptography 47: asked for here
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
except ImportError:
    raise UsageError(
        "a federation over a network needs cryptography 47 or later: pip install --upgrade 'hanse[nats]'"
    ) from None

__all__ = ["Identity", "Keyring", "PublicKey"]

_PUBLIC: Final = "hanse-key:"
_SECRET: Final = "hanse-secret-key:"
_KEY_BYTES: Final = 32
_CHECK_BYTES: Final = 4
_FILE_LIMIT_BYTES: Final = 10_000


@dataclass(frozen=True)
class PublicKey:
    """What others know of a party: it may be printed, mailed and stored anywhere.

    Args:
        signing: an Ed25519 public key (RFC 8032), 32 bytes.
        sealing: an X25519 public key (RFC 7748), 32 bytes.
    """

    signing: bytes
    sealing: bytes

    def __str__(self) -> str:
        return _written(_PUBLIC, self.raw)

    @property
    def raw(self) -> bytes:
        """Both keys, 64 bytes."""
        return self.signing + self.sealing

    @property
    def fingerprint(self) -> str:
        """A short name for a person to compare, 16 hex digits."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @functools.cached_property
    def verifier(self) -> Ed25519PublicKey:
        """Checks this party's signatures."""
        return Ed25519PublicKey.from_public_bytes(self.signing)

    @functools.cached_property
    def sealer(self) -> X25519PublicKey:
        """Seals messages to this party."""
        return X25519PublicKey.from_public_bytes(self.sealing)

    @classmethod
    def parse(cls, text: object, where: str) -> PublicKey:
        """Read a key from its text.

        Args:
            text: ``hanse-key:`` and what follows.
            where: named in the error, such as ``silo.toml: coordinators``.

        Raises:
            UsageError: not a public key, or one that was cut or mistyped.
        """
        if isinstance(text, str) and text.strip().startswith(_SECRET):
            raise UsageError(f"{where}: this is a secret key: name the public one, and make new keys (it was shown)")
        raw = _read(_PUBLIC, text, where)
        key = cls(raw[:_KEY_BYTES], raw[_KEY_BYTES:])
        try:
            _ = key.verifier, key.sealer
        except (ValueError, UnsupportedAlgorithm):
            raise UsageError(f"{where}: not a valid key: copy it anew from its owner") from None
        if str(key) != str(text).strip():  # the last letter of base64 has bits that nothing reads
            raise UsageError(f"{where}: the key was cut or mistyped: copy it anew from its owner")
        return key


@dataclass(frozen=True, repr=False)
class Identity:
    """A party's private keys; they never leave its machine.

    Args:
        signer: signs what the party sends.
        opener: opens what was sealed to it.
    """

    signer: Ed25519PrivateKey
    opener: X25519PrivateKey

    def __repr__(self) -> str:
        return f"Identity({self.public.fingerprint})"

    @functools.cached_property
    def public(self) -> PublicKey:
        """The keys that others need."""
        return PublicKey(self.signer.public_key().public_bytes_raw(), self.opener.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> Identity:
        """Make new keys."""
        return cls(Ed25519PrivateKey.generate(), X25519PrivateKey.generate())

    def text(self) -> str:
        """The private keys as one line, for a file of mode 0600."""
        return _written(_SECRET, self.signer.private_bytes_raw() + self.opener.private_bytes_raw())

    @classmethod
    def load(cls, path: Path) -> Identity:
        """Read the private keys from their file; lines that start with ``#`` are comments.

        Raises:
            UsageError: no such file, not a key, or a file that others may read.
        """
        try:
            data = read_file(path, limit_bytes=_FILE_LIMIT_BYTES)
            mode = stat.S_IMODE(path.stat().st_mode)
        except HanseError as error:
            raise UsageError(f"identity: {error}; hanse federation init or rotate makes it") from None
        except OSError as error:
            raise UsageError(f"identity: {path} cannot be read: {error.strerror}") from None
        if os.name == "posix" and mode & 0o077:
            raise UsageError(f"identity: {path} may be read by others (mode {mode:04o}): chmod 600 {path}")
        lines = [line for line in data.decode("utf-8", "replace").splitlines() if line.strip() and line[0] != "#"]
        raw = _read(_SECRET, "".join(lines), str(path))
        return cls(
            Ed25519PrivateKey.from_private_bytes(raw[:_KEY_BYTES]),
            X25519PrivateKey.from_private_bytes(raw[_KEY_BYTES:]),
        )


class Keyring:
    """The parties whose signatures count.

    Args:
        keys: their public keys.
    """

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._keys = {key.raw: key for key in keys}

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, raw: bytes) -> PublicKey | None:
        """The key with these 64 bytes, if it is known."""
        return self._keys.get(raw)


def _written(prefix: str, raw: bytes) -> str:
    return prefix + base64.urlsafe_b64encode(raw + _check(prefix, raw)).decode("ascii")


def _read(prefix: str, text: object, where: str) -> bytes:
    written = text.strip() if isinstance(text, str) else ""
    if not written.startswith(prefix):
        raise UsageError(f"{where}: need a key that starts with {prefix}")
    try:
        data = base64.b64decode(written.removeprefix(prefix), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    raw, check = data[: 2 * _KEY_BYTES], data[2 * _KEY_BYTES :]
    if len(raw) != 2 * _KEY_BYTES or check != _check(prefix, raw):
        raise UsageError(f"{where}: the key was cut or mistyped: copy it whole")
    return raw


def _check(prefix: str, raw: bytes) -> bytes:
    return hashlib.sha256(prefix.encode("ascii") + raw).digest()[:_CHECK_BYTES]
