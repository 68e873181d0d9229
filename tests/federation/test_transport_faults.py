"""What a broker, a stranger or a rogue silo can put on the wire, and that it changes nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
import threading
import time
import urllib.request

import nats
import nats.errors
import pytest
from federation_support import WAIT_S, Serving, echo, free_port, names, task, until

from hanse.errors import TransportError
from hanse.messages import decode, encode
from hanse.transports.envelope import MAX_ENVELOPE_BYTES, Label, Replays, open_sealed, seal
from hanse.transports.keys import Identity, Keyring
from hanse.transports.settings import CoordinatorSettings


def _with_client(settings, action, context=None, *, cut_off=False):
    """Run ``action(client)`` on a plain NATS connection with a party's certificate; what the broker complained of.

    ``cut_off``: the broker ends the connection for what the action does, so there is nothing left to flush.
    """
    errors: list[str] = []

    async def note(error: Exception) -> None:
        errors.append(str(error))

    async def run() -> None:
        client = await nats.connect(
            settings.server, tls=context or settings.tls(), error_cb=note, allow_reconnect=False, connect_timeout=10
        )
        await action(client)
        for _ in range(2):  # the first ping overtakes what is still in the client's buffer
            if client.is_connected and not cut_off:
                await client.flush()
        await client.close()

    asyncio.run(run())
    return errors


def _publish(settings, subject, data, reply=""):
    return _with_client(settings, lambda client: client.publish(subject, data, reply=reply))


@pytest.fixture
def own(league):
    """The coordinator's settings."""
    return CoordinatorSettings.load(league / "coordinator.toml")


def test_a_client_without_a_certificate_is_refused(broker, own):
    bare = ssl.create_default_context(cafile=own.connection.ca)
    with pytest.raises((nats.errors.Error, OSError)):
        asyncio.run(
            nats.connect(own.connection.server, tls=bare, allow_reconnect=False, error_cb=_ignore, connect_timeout=10)
        )
    broker.log.wait("didn't provide a certificate")


async def _ignore(error: Exception) -> None:
    """Errors come as exceptions too."""


def test_a_certificate_of_another_authority_is_refused(broker, connection, tmp_path):
    from hanse.federation import setup

    setup.init(tmp_path / "other", ["a"])
    foreign = dataclasses.replace(
        connection("a"),
        certificate=tmp_path / "other" / "a" / "certificate.pem",
        certificate_key=tmp_path / "other" / "a" / "certificate.key",
    )
    with pytest.raises(TransportError, match=r"refuses the certificate .*other/a/certificate\.pem"):
        _served(foreign)


def test_a_broker_of_another_authority_is_refused(broker, connection, tmp_path):
    from hanse.federation import setup

    setup.init(tmp_path / "other", ["a"])
    with pytest.raises(TransportError, match=r"does not vouch for \(.*\): use the ca\.pem made with the broker's"):
        _served(dataclasses.replace(connection("a"), ca=tmp_path / "other" / "a" / "ca.pem"))


def test_a_broker_without_tls_is_refused(make_broker, connection, tmp_path):
    settings = connection("a")
    (tmp_path / "plain.conf").write_text(f'listen: "{settings.server.removeprefix("tls://")}"')
    make_broker(conf=tmp_path / "plain.conf")
    with pytest.raises(TransportError, match=r"has no TLS: start it with its nats\.conf"):
        _served(settings)


def test_the_coordinator_hears_of_a_wrong_authority_at_once(broker, own, tmp_path):
    from hanse.federation import setup
    from hanse.transports.nats import Nats

    setup.init(tmp_path / "other", ["a"])
    wrong = dataclasses.replace(own.connection, ca=tmp_path / "other" / "a" / "ca.pem")
    transport = Nats(dataclasses.replace(own, connection=wrong))
    try:
        for _ in range(2):
            with pytest.raises(TransportError, match="does not vouch for"):
                list(transport.ask({"a": task("a")}, WAIT_S))
    finally:
        transport.close()


def test_a_silo_cannot_listen_to_another_silo(broker, connection):
    with pytest.raises(
        TransportError, match=r"does not let the certificate .*/a/certificate\.pem do this .*hanse\.task\.b"
    ):
        _served(dataclasses.replace(connection("a"), subject="b"))


def _served(settings):
    silo = Serving(settings)
    try:
        silo.ready()
    finally:
        silo.stop()


@pytest.mark.parametrize("subject", ["hanse.task.b", "hanse.task.a", "hanse.reply.b.0", "other", "hanse.reply.a.0.1"])
def test_a_silo_cannot_send_as_another_party(broker, connection, subject):
    assert any(
        "permissions violation for publish" in error.lower() for error in _publish(connection("a"), subject, b"x")
    )


@pytest.mark.parametrize("subject", [">", "hanse.>", "hanse.task.*", "hanse.reply.a.*", "hanse.reply.b.*", "_INBOX.>"])
def test_a_silo_hears_its_own_tasks_only(broker, connection, subject):
    async def listen(client):
        await client.subscribe(subject)

    errors = _with_client(connection("a"), listen)
    assert any("permissions violation for subscription" in error.lower() for error in errors)


@pytest.mark.parametrize("subject", ["hanse.reply.a.0", "other"])
def test_the_coordinator_sends_tasks_only(broker, own, subject):
    assert any(
        "permissions violation for publish" in error.lower() for error in _publish(own.connection, subject, b"x")
    )


def _envelope(own, silo="a", *, sender=None, message=None, audience=None, expires_in_s=WAIT_S, receiver=None, **fields):
    asked = task(silo, valid_s=expires_in_s, **fields)
    label = Label(audience or silo, asked.run, asked.round, asked.expires_at)
    sender = sender or own.connection.own_identity()
    return seal(message or encode(asked), sender=sender, receiver=receiver or own.silos[silo], label=label)


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


FORGERIES = {
    "unknown": lambda own: _envelope(own, sender=Identity.generate()),
    "audience": lambda own: _envelope(own, audience="b"),
    "receiver": lambda own: _envelope(own, receiver=own.silos["b"]),
    "expired": lambda own: _envelope(own, expires_in_s=-1.0),
    "validity": lambda own: _envelope(own, expires_in_s=1e6),
    "truncated": lambda own: _envelope(own)[:100],
    "corrupted": lambda own: _flipped(_envelope(own), -1),
    "foreign": lambda own: b"GET / HTTP/1.1" + bytes(200),
    "version": lambda own: _envelope(own)[:3] + b"\x63" + _envelope(own)[4:],
    "malformed": lambda own: _envelope(own, message=b'{"protocol":1}'),
    "mismatch": lambda own: _envelope(own, message=encode(task("a", 9))),
    "oversized": lambda own: bytes(MAX_ENVELOPE_BYTES + 1),
}


@pytest.mark.parametrize("code", FORGERIES)
def test_a_wrong_task_changes_nothing(broker, own, serving, coordinator, code):
    silo = serving("a").ready()
    assert _publish(own.connection, "hanse.task.a", FORGERIES[code](own), "hanse.reply.a.0") == []
    until(lambda: silo.diagnostics.counts.get(code) == 1)
    assert silo.answered == []
    assert any(f"a message was refused ({code}, no. 1)" in line for line in silo.lines)
    assert names(list(coordinator.ask({"a": task("a")}, WAIT_S))) == ["a"]


def test_a_replayed_task_is_answered_once(broker, own, serving):
    silo = serving("a").ready()
    envelope = _envelope(own)
    for _ in range(3):
        assert _publish(own.connection, "hanse.task.a", envelope, "hanse.reply.a.0") == []
    until(lambda: silo.diagnostics.counts.get("replayed") == 2)
    assert len(silo.answered) == 1


def test_an_answer_goes_to_the_silos_own_reply_subject_only(broker, own, serving):
    silo = serving("a").ready()
    for reply in ("", "hanse.reply.b.0", "hanse.task.b"):
        _publish(own.connection, "hanse.task.a", _envelope(own), reply)
    until(lambda: silo.diagnostics.counts.get("foreign") == 3)
    assert silo.answered == []


def test_a_message_larger_than_the_broker_takes_ends_its_senders_connection_only(broker, own, serving, coordinator):
    silo = serving("a").ready()

    async def force(client):
        client._max_payload = 1 << 30
        await client.publish("hanse.task.a", bytes(5_000_000), reply="hanse.reply.a.0")
        await asyncio.to_thread(broker.log.wait, "maximum payload exceeded")

    _with_client(own.connection, force, cut_off=True)
    assert names(list(coordinator.ask({"a": task("a")}, WAIT_S))) == ["a"]
    assert silo.diagnostics.counts["connected"] == 1


def test_a_rogue_silo_gets_one_valid_reply_through_and_nothing_else(broker, own, connection, coordinator):
    """Duplicates, replays, reordering, replies of other rounds and other keys: the first valid reply counts."""
    mine, other = connection("a").own_identity(), connection("b").own_identity()
    coordinators_key = own.connection.own_identity().public

    async def answer(message):
        opened = open_sealed(
            message.data, receiver=mine, audience="a", senders=Keyring([coordinators_key]), replays=Replays()
        )
        from hanse.messages import Task

        asked = decode(opened.message, Task)
        good = echo(asked)

        def sealed(reply, sender=mine, audience="coordinator", round_=asked.round):
            label = Label(audience, asked.run, round_, asked.expires_at)
            return seal(encode(reply), sender=sender, receiver=coordinators_key, label=label)

        import msgspec

        valid = sealed(good)
        for data in (
            b"",
            valid[:-20],
            _flipped(valid, len(valid) // 2),
            bytes(MAX_ENVELOPE_BYTES + 1),
            message.data,  # the task itself, thrown back
            sealed(good, sender=other),
            sealed(good, audience="a"),
            sealed(good, round_=5),
            sealed(msgspec.structs.replace(good, round=5), round_=5),
            sealed(msgspec.structs.replace(good, silo="b")),
            valid,
            valid,
            sealed(msgspec.structs.replace(good, facts={"second": "thoughts"})),
        ):
            await message.respond(data)

    stop = threading.Event()
    up = threading.Event()

    async def listen(client):
        await client.subscribe("hanse.task.a", cb=answer)
        await client.flush()
        up.set()
        await asyncio.to_thread(stop.wait)

    rogue = threading.Thread(target=lambda: _with_client(connection("a"), listen))
    rogue.start()
    try:
        assert up.wait(WAIT_S)
        asked = task("a", payload={"x": 1.0})
        replies = list(coordinator.ask({"a": asked}, WAIT_S))
        until(lambda: coordinator.diagnostics.counts.get("unasked") == 3)
    finally:
        stop.set()
        rogue.join()
    assert replies == [echo(asked)]
    counts = coordinator.diagnostics.counts
    assert counts["accepted"] == 1
    assert {code: counts[code] for code in ("truncated", "corrupted", "oversized", "audience", "replayed")} == {
        "truncated": 1,
        "corrupted": 2,
        "oversized": 1,
        "audience": 1,
        "replayed": 1,
    }
    assert (counts["unknown"], counts["mismatch"]) == (2, 1)


def test_the_broker_sees_stores_and_tells_nothing_readable(make_broker, league, coordinator, serving, tmp_path):
    monitoring = free_port()
    broker = make_broker("-DV", "-m", str(monitoring), cwd=tmp_path)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    serving("a"), serving("b")
    marker, number = "MARKERcustomer4711", 8461.123456789
    tasks = {silo: task(silo, payload={"text": marker, "number": number}, relation=marker) for silo in ("a", "b")}
    replies = list(coordinator.ask(tasks, WAIT_S))
    assert [reply.facts["payload"]["text"] for reply in replies] == [marker, marker]
    pages = []
    for page in ("varz", "connz?subs=detail&auth=true", "subsz?subs=1", "jsz?streams=1", "accountz", "healthz"):
        with urllib.request.urlopen(f"http://127.0.0.1:{monitoring}/{page}") as answer:
            pages.append(answer.read().decode())
    broker.log.wait("MSG_PAYLOAD")
    broker.log.wait("hanse.reply.b.")
    seen = broker.log.text + "".join(pages)
    assert "hanse.task.a" in seen
    for readable in (marker, "MARKER", str(number), "customer_features", '"payload"', '"statistics"', "one_shot"):
        assert readable not in seen
    assert '"disabled": true' in pages[3]
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before  # nothing was stored


def test_a_flood_of_refusals_does_not_fill_the_log(broker, own, serving):
    silo = serving("a").ready()

    async def flood(client):
        for _ in range(100):
            await client.publish("hanse.task.a", b"junk", reply="hanse.reply.a.0")

    _with_client(own.connection, flood)
    until(lambda: silo.diagnostics.counts.get("truncated") == 100)
    assert sum("refused (truncated" in line for line in silo.lines) == 7  # the 1st, 2nd, 4th ... 64th


def test_an_answer_that_comes_after_the_deadline_is_not_sent(broker, own, serving):
    go = threading.Event()

    def slow(asked):
        go.wait(WAIT_S)
        return echo(asked)

    silo = serving("a", answer=slow)
    silo.ready()
    ends = time.time() + 0.3
    _publish(own.connection, "hanse.task.a", _envelope(own, expires_in_s=ends - time.time()), "hanse.reply.a.0")
    until(lambda: len(silo.answered) == 1)
    until(lambda: time.time() > ends)
    go.set()
    until(lambda: silo.diagnostics.counts.get("late") == 1)
