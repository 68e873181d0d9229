"""Keys and envelopes, without a wire."""

from __future__ import annotations

import base64
import time

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from hypothesis import given
from hypothesis import strategies as st

from hanse.errors import EnvelopeError, TransportError, UsageError
from hanse.transports.envelope import (
    LONGEST_VALIDITY_S,
    MAX_ENVELOPE_BYTES,
    MAX_MESSAGE_BYTES,
    Label,
    Replays,
    open_sealed,
    seal,
)
from hanse.transports.keys import Identity, Keyring, PublicKey

ALICE, BOB, EVE = (Identity.generate() for _ in range(3))
NOW = 1_800_000_000.0


def _sealed(message=b"hello", *, sender=ALICE, receiver=BOB, **label):
    defaults = {"audience": "bob", "run": "r", "round": 3, "expires_at": NOW + 60}
    return seal(message, sender=sender, receiver=receiver.public, label=Label(**(defaults | label)))


def _open(data, *, receiver=BOB, audience="bob", senders=(ALICE,), replays=None, now=NOW):
    keyring = Keyring(sender.public for sender in senders)
    return open_sealed(
        data,
        receiver=receiver,
        audience=audience,
        senders=keyring,
        replays=Replays() if replays is None else replays,
        now=now,
    )


def _code(data, **options):
    with pytest.raises(EnvelopeError) as caught:
        _open(data, **options)
    return caught.value.code


@given(st.binary(max_size=3000))
def test_what_was_sealed_comes_out(message):
    opened = _open(_sealed(message))
    assert (opened.message, opened.sender) == (message, ALICE.public)
    assert (opened.label.audience, opened.label.run, opened.label.round) == ("bob", "r", 3)


def test_the_layout_is_the_documented_one():
    data = _sealed(b"hello")
    assert data[:4] == b"HNS\x01"
    assert data[4:68] == ALICE.public.raw
    signature, body = data[68:132], data[132:]
    Ed25519PublicKey.from_public_bytes(data[4:36]).verify(signature, b"hanse envelope\0" + data[:68] + body)
    end = 2 + int.from_bytes(body[:2], "big")
    audience, run, round_, expires_at, nonce, receiver = msgspec.msgpack.decode(body[2:end])
    assert (audience, run, round_, expires_at, receiver) == ("bob", "r", 3, NOW + 60, BOB.public.fingerprint)
    assert len(nonce) == 16
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    assert suite.decrypt(body[end:], BOB.opener, info=data[:68] + body[:end]) == b"hello"


def test_nothing_of_the_message_can_be_read_on_the_outside():
    data = _sealed(b"customer 4711" * 10)
    assert b"customer" not in data
    assert b"4711" not in data
    assert _sealed(b"same") != _sealed(b"same")


def test_each_check_has_its_code():
    assert _code(_sealed(sender=EVE)) == "unknown"
    assert _code(_sealed(), senders=()) == "unknown"
    assert _code(_sealed(audience="carol")) == "audience"
    assert _code(_sealed(receiver=EVE)) == "receiver"
    assert _code(_sealed(expires_at=NOW)) == "expired"
    assert _code(_sealed(expires_at=float("nan"))) == "expired"
    assert _code(_sealed(expires_at=float("inf"))) == "validity"
    assert _code(_sealed(expires_at=NOW + LONGEST_VALIDITY_S + 1)) == "validity"
    assert _code(_sealed(nonce=b"short")) == "nonce"
    assert _code(b"") == _code(b"HNS\x01") == "truncated"
    assert _code(bytes(500)) == "foreign"
    assert _code(b"HNS\x02" + bytes(500)) == "version"
    assert _code(bytes(MAX_ENVELOPE_BYTES + 1)) == "oversized"


def test_errors_say_what_to_do():
    for code, data in (("expired", _sealed(expires_at=NOW - 42.0)), ("version", b"HNS\x07" + bytes(500))):
        with pytest.raises(EnvelopeError) as caught:
            _open(data)
        assert caught.value.code == code
        assert str(caught.value) in {
            "it expired 42.0 s ago by this machine's clock; if that is wrong, set it",
            "protocol version 7: this Hanse speaks version 1; upgrade the older side",
        }


@given(st.data())
def test_any_change_is_found(data):
    sealed = _sealed(b"hello world")
    at, bit = data.draw(st.integers(0, len(sealed) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(sealed)
    changed[at] ^= 1 << bit
    with pytest.raises(TransportError):
        _open(bytes(changed))
    with pytest.raises(TransportError):
        _open(sealed[:at])
    with pytest.raises(TransportError):
        _open(sealed + b"x")


@given(st.binary(max_size=400))
def test_junk_is_an_envelope_error(junk):
    for data in (junk, b"HNS\x01" + junk, b"HNS\x01" + ALICE.public.raw + junk):
        with pytest.raises(EnvelopeError):
            _open(data)


def test_junk_signed_by_a_known_party_is_an_envelope_error():
    head = b"HNS\x01" + ALICE.public.raw
    for body in (b"\xff\xff", b"\x00\x00", b"\x00\x01\xc1", b"\x00\x02\x91\x01" + bytes(64)):
        signature = ALICE.signer.sign(b"hanse envelope\0" + head + body)
        assert _code(head + signature + body) == "corrupted"


def test_a_sealed_message_cannot_be_signed_anew_by_another_party():
    data = _sealed()
    head, body = b"HNS\x01" + EVE.public.raw, data[132:]
    stolen = head + EVE.signer.sign(b"hanse envelope\0" + head + body) + body
    assert _code(stolen, senders=(ALICE, EVE)) == "corrupted"


def test_an_envelope_opens_once_and_another_with_the_same_message_opens_too():
    replays = Replays()
    data = _sealed()
    assert _open(data, replays=replays).message == b"hello"
    assert _code(data, replays=replays) == "replayed"
    assert _open(_sealed(), replays=replays).message == b"hello"
    assert _open(_sealed(sender=EVE), senders=(EVE,), replays=replays).sender == EVE.public


def test_a_forged_copy_does_not_use_the_nonce_up():
    replays = Replays()
    data = _sealed()
    assert _code(data[:-1] + bytes((data[-1] ^ 1,)), replays=replays) == "corrupted"
    assert _open(data, replays=replays).message == b"hello"


def test_replays_are_bounded_and_forget_only_what_has_expired():
    replays = Replays(capacity=10)
    for number in range(10):
        replays.enter(bytes((number,)), expires_at=100.0 + number, now=0.0)
    with pytest.raises(EnvelopeError, match="more than 10 envelopes are good at once"):
        replays.enter(b"x", expires_at=200.0, now=99.0)
    replays.enter(b"x", expires_at=200.0, now=105.0)  # six have expired
    assert len(replays) == 5
    with pytest.raises(EnvelopeError, match="came before"):
        replays.enter(bytes((9,)), expires_at=109.0, now=105.0)


def test_many_replays_stay_small():
    replays = Replays()
    for number in range(20_000):
        replays.enter(number.to_bytes(4, "big"), expires_at=number + 10.0, now=float(number))
    assert len(replays) <= 2_000


def test_the_largest_message_fits_and_one_byte_more_does_not():
    largest = _sealed(bytes(MAX_MESSAGE_BYTES), audience="b" * 300, run="r" * 300)
    assert len(largest) <= MAX_ENVELOPE_BYTES
    with pytest.raises(EnvelopeError, match=r"3,998,001 bytes, the limit is 3,998,000: use fewer features"):
        _sealed(bytes(MAX_MESSAGE_BYTES + 1))


def test_this_machines_clock_is_the_default():
    data = _sealed(expires_at=time.time() + 60)
    opened = open_sealed(data, receiver=BOB, audience="bob", senders=Keyring([ALICE.public]), replays=Replays())
    assert opened.message == b"hello"


def test_a_public_key_survives_its_text():
    text = str(ALICE.public)
    assert text.startswith("hanse-key:")
    assert PublicKey.parse(f"  {text}\n", "here") == ALICE.public
    assert len(ALICE.public.fingerprint) == 16
    assert repr(ALICE) == f"Identity({ALICE.public.fingerprint})"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "need a key that starts with hanse-key:"),
        (None, "need a key that starts with hanse-key:"),
        ("hanse-key:", "the key was cut or mistyped"),
        (str(ALICE.public)[:-4], "the key was cut or mistyped"),
        (str(ALICE.public).replace("hanse-key:", "hanse-key:A", 1), "the key was cut or mistyped"),
        ("hanse-key:***", "the key was cut or mistyped"),
        (ALICE.text(), "this is a secret key: name the public one"),
    ],
    ids=["empty", "none", "bare", "cut", "longer", "no base64", "secret"],
)
def test_a_wrong_public_key_is_told(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        PublicKey.parse(text, "silo.toml: coordinators")
    assert str(caught.value).startswith("silo.toml: coordinators: ")


def test_one_mistyped_letter_is_found():
    text = str(ALICE.public)
    for at in range(len("hanse-key:"), len(text) - 1):
        wrong = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        with pytest.raises(UsageError, match="cut or mistyped"):
            PublicKey.parse(wrong, "here")


def test_an_identity_is_read_from_a_file_that_only_its_owner_reads(tmp_path):
    path = tmp_path / "identity.key"
    path.write_text(f"# a comment\n\n{ALICE.text()}\n")
    path.chmod(0o600)
    assert Identity.load(path).public == ALICE.public
    path.chmod(0o640)
    with pytest.raises(UsageError, match=r"may be read by others \(mode 0640\): chmod 600 "):
        Identity.load(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"junk", base64.b64encode(bytes(68)), str(ALICE.public).encode(), b"\xff\xfe"],
    ids=["empty", "junk", "zeros", "public", "no text"],
)
def test_a_file_that_holds_no_identity(tmp_path, content):
    path = tmp_path / "identity.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="need a key that starts with hanse-secret-key:"):
        Identity.load(path)


def test_no_identity_file(tmp_path):
    with pytest.raises(
        UsageError, match=r"identity: .*none\.key cannot be read: there is no such file; hanse federation"
    ):
        Identity.load(tmp_path / "none.key")
