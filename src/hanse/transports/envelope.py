"""The envelope around a message: signed by its sender, sealed to its receiver, good for a while and only once.

What is on the wire::

    "HNS"        3 bytes
    version      1 byte, the protocol's
    sender      64 bytes, its public keys
    signature   64 bytes, Ed25519 (RFC 8032) over all the other bytes, after a text that no other use of the key signs
    label        length and msgpack: audience, receiver, run, round, nonce, expiry
    sealed       HPKE (RFC 9180), base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305

The seal's ``info`` is all that precedes it but the signature, so that a sealed message cannot be signed anew by another
party, nor be moved under another label. The signature stands outside, so that a stranger's bytes are thrown away before
anything is decoded or opened.
"""

from __future__ import annotations

import secrets
import struct
import threading
import time
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from hanse.errors import EnvelopeError
from hanse.messages import PROTOCOL
from hanse.transports.keys import Identity, Keyring, PublicKey

__all__ = [
    "LONGEST_VALIDITY_S",
    "MAX_ENVELOPE_BYTES",
    "MAX_MESSAGE_BYTES",
    "Label",
    "Opened",
    "Replays",
    "check_size",
    "open_sealed",
    "seal",
]

MAX_ENVELOPE_BYTES: Final = 4_000_000
"""The largest envelope that is sent or looked at."""

MAX_MESSAGE_BYTES: Final = MAX_ENVELOPE_BYTES - 2_000
"""The largest message that fits into one; a label is much shorter than the rest."""

LONGEST_VALIDITY_S: Final = 86_400.0
"""An envelope that would be good for longer than a day is refused: its nonce would have to be kept as long."""

_MAGIC: Final = b"HNS"
_NONCE_BYTES: Final = 16
_KEY_BYTES: Final = 64
_SIGNATURE_BYTES: Final = 64
_HEAD_BYTES: Final = len(_MAGIC) + 1 + _KEY_BYTES
_LENGTH: Final = struct.Struct(">H")
_PURPOSE: Final = b"hanse envelope\0"
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)

_Name = Annotated[str, msgspec.Meta(max_length=300)]


class Label(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is written on an envelope; a broker can read it.

    Args:
        audience: whom it is for: a silo's subject, or ``coordinator``.
        run: of the message.
        round: of the message.
        expires_at: seconds since 1970, UTC.
        nonce: 16 random bytes; empty to have them made.
        receiver: the fingerprint of the key that it is sealed to; filled in by :func:`seal`.
    """

    audience: _Name
    run: _Name
    round: int
    expires_at: float
    nonce: bytes = b""
    receiver: _Name = ""


@dataclass(frozen=True)
class Opened:
    """A message that passed every check.

    Args:
        message: the plain bytes.
        sender: who signed it.
        label: what was written on the envelope.
    """

    message: bytes
    sender: PublicKey
    label: Label


class Replays:
    """The nonces seen, for as long as their envelopes are good; thread-safe.

    Args:
        capacity: how many are kept. When all of them are still good, further envelopes are refused: to forget one
            would be to let it in again.
    """

    def __init__(self, capacity: int = 200_000) -> None:
        self._capacity = capacity
        self._seen: dict[bytes, float] = {}
        self._sweep_at = min(1_000, capacity)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._seen)

    def enter(self, key: bytes, expires_at: float, now: float) -> None:
        """Remember a nonce.

        Raises:
            EnvelopeError: it was seen before, or there is no room.
        """
        with self._lock:
            if key in self._seen:
                raise EnvelopeError("replayed", "the same envelope came before")
            if len(self._seen) >= self._sweep_at:
                self._seen = {k: end for k, end in self._seen.items() if end > now}
                self._sweep_at = min(self._capacity, max(1_000, 2 * len(self._seen)))
            if len(self._seen) >= self._capacity:
                raise EnvelopeError("flooded", f"more than {self._capacity:,} envelopes are good at once")
            self._seen[key] = expires_at


def check_size(size_bytes: int, what: str) -> None:
    """Refuse what is too large to be sealed.

    Raises:
        EnvelopeError: it is larger than :data:`MAX_MESSAGE_BYTES`.
    """
    if size_bytes > MAX_MESSAGE_BYTES:
        raise EnvelopeError(
            "oversized",
            f"{what} has {size_bytes:,} bytes, the limit is {MAX_MESSAGE_BYTES:,}: use fewer features",
        )


def seal(message: bytes, *, sender: Identity, receiver: PublicKey, label: Label) -> bytes:
    """Sign and seal a message.

    Args:
        message: plain bytes.
        sender: signs it.
        receiver: alone can open it.
        label: what to write on the envelope.

    Raises:
        EnvelopeError: the message is larger than :data:`MAX_MESSAGE_BYTES`.
    """
    check_size(len(message), "the message")
    label = msgspec.structs.replace(
        label, nonce=label.nonce or secrets.token_bytes(_NONCE_BYTES), receiver=receiver.fingerprint
    )
    head = _MAGIC + bytes((PROTOCOL,)) + sender.public.raw
    written = msgspec.msgpack.encode(label)
    written = _LENGTH.pack(len(written)) + written
    body = written + _SUITE.encrypt(message, receiver.sealer, info=head + written)
    return head + sender.signer.sign(_PURPOSE + head + body) + body


def open_sealed(
    data: bytes,
    *,
    receiver: Identity,
    audience: str,
    senders: Keyring,
    replays: Replays,
    now: float | None = None,
) -> Opened:
    """Check an envelope in every respect and open it.

    Args:
        data: what came off the wire.
        receiver: opens it.
        audience: who is reading.
        senders: whose signatures count.
        replays: the nonces seen so far; this one is added.
        now: seconds since 1970; this machine's clock without it.

    Raises:
        EnvelopeError: anything at all is wrong; ``code`` says what.
    """
    at = time.time() if now is None else now
    sender, body = _signed(data, senders)
    label, written, sealed = _labelled(body)
    _check_label(label, receiver, audience, at)
    replays.enter(sender.signing + label.nonce, label.expires_at, at)
    try:
        message = _SUITE.decrypt(sealed, receiver.opener, info=data[:_HEAD_BYTES] + written)
    except (InvalidTag, ValueError):
        raise EnvelopeError("corrupted", "the seal does not open") from None
    return Opened(message, sender, label)


def _signed(data: bytes, senders: Keyring) -> tuple[PublicKey, bytes]:
    """The sender and the signed body; nothing of it is decoded before."""
    if len(data) > MAX_ENVELOPE_BYTES:
        raise EnvelopeError("oversized", f"an envelope of {len(data):,} bytes: the limit is {MAX_ENVELOPE_BYTES:,}")
    if len(data) < _HEAD_BYTES + _SIGNATURE_BYTES + _LENGTH.size:
        raise EnvelopeError("truncated", f"{len(data)} bytes are no envelope")
    if data[: len(_MAGIC)] != _MAGIC:
        raise EnvelopeError("foreign", "this is no envelope of Hanse")
    version = data[len(_MAGIC)]
    if version != PROTOCOL:
        raise EnvelopeError(
            "version", f"protocol version {version}: this Hanse speaks version {PROTOCOL}; upgrade the older side"
        )
    sender = senders.find(data[len(_MAGIC) + 1 : _HEAD_BYTES])
    if sender is None:
        key = PublicKey(data[4:36], data[36:_HEAD_BYTES])
        raise EnvelopeError("unknown", f"signed with key {key.fingerprint}, which is not trusted here")
    body = data[_HEAD_BYTES + _SIGNATURE_BYTES :]
    try:
        sender.verifier.verify(data[_HEAD_BYTES : _HEAD_BYTES + _SIGNATURE_BYTES], _PURPOSE + data[:_HEAD_BYTES] + body)
    except InvalidSignature:
        raise EnvelopeError("corrupted", "the signature does not fit: changed on the way, or forged") from None
    return sender, body


_LABEL: Final = msgspec.msgpack.Decoder(Label)  # made now: no two threads may learn the type at once


def _labelled(body: bytes) -> tuple[Label, bytes, bytes]:
    """The label, its bytes, and what is sealed."""
    end = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    try:
        return _LABEL.decode(body[_LENGTH.size : end]), body[:end], body[end:]
    except (msgspec.MsgspecError, ValueError):
        raise EnvelopeError("corrupted", "the label cannot be read") from None


def _check_label(label: Label, receiver: Identity, audience: str, now: float) -> None:
    if label.audience != audience:
        raise EnvelopeError("audience", f"it is for {label.audience}, not for {audience}")
    if label.receiver != receiver.public.fingerprint:
        raise EnvelopeError(
            "receiver", f"it is sealed to key {label.receiver}, and this party's is {receiver.public.fingerprint}"
        )
    if not label.expires_at > now:  # NaN is expired
        raise EnvelopeError(
            "expired",
            f"it expired {now - label.expires_at:.1f} s ago by this machine's clock; if that is wrong, set it",
        )
    if label.expires_at > now + LONGEST_VALIDITY_S:
        raise EnvelopeError("validity", f"it would be good for more than {LONGEST_VALIDITY_S:,.0f} s")
    if len(label.nonce) != _NONCE_BYTES:
        raise EnvelopeError("nonce", f"a nonce of {len(label.nonce)} bytes: need {_NONCE_BYTES}")
