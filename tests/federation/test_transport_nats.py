"""Tasks and replies through a real broker: late silos, dead silos, dead brokers, and silos that stay silent."""

from __future__ import annotations

import gc
import logging
import signal
import threading

import pytest
from federation_support import WAIT_S, echo, names, second_coordinator, task, until

from hanse.errors import TransportError, UsageError
from hanse.messages import task_hash
from hanse.transports.envelope import MAX_MESSAGE_BYTES


def test_every_silo_is_asked_and_answers(broker, coordinator, serving):
    serving("a"), serving("b")
    assert coordinator.silos() == ["a", "b"]
    tasks = {silo: task(silo, payload={"number": 0.1}) for silo in ("a", "b")}
    replies = list(coordinator.ask(tasks, WAIT_S))
    assert names(replies) == ["a", "b"]
    for reply in replies:
        assert reply == echo(tasks[reply.silo])
    assert coordinator.diagnostics.counts["accepted"] == 2


def test_the_time_of_waiting_is_used_when_all_tasks_are_on_their_way(broker, coordinator, silo_process):
    """By the thread that waits, before any reply is there."""
    silos = [silo_process(name, "ask").ready() for name in ("a", "b")]
    used, came = [], []

    def meanwhile():
        used.append((threading.current_thread(), names(came)))
        for silo in silos:  # neither has answered, or this would wait for ever
            silo.out.wait("task 0")
            silo.proceed()

    for reply in coordinator.ask({name: task(name) for name in ("a", "b")}, WAIT_S, meanwhile):
        came.append(reply)
    assert names(came) == ["a", "b"]
    assert used == [(threading.current_thread(), [])]


def test_what_goes_wrong_in_the_time_of_waiting_ends_the_question(broker, coordinator, serving):
    serving("a")
    serving("b")

    def meanwhile():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(coordinator.ask({"a": task("a"), "b": task("b")}, WAIT_S, meanwhile))
    assert names(list(coordinator.ask({"a": task("a", 1)}, WAIT_S))) == ["a"]


def test_many_rounds_use_one_connection(broker, coordinator, serving):
    serving("a")
    for round_ in range(20):
        (reply,) = coordinator.ask({"a": task("a", round_)}, WAIT_S)
        assert reply.round == round_
    assert coordinator.diagnostics.counts["connected"] == 1


def test_nothing_to_ask_is_no_question(league, coordinator):
    assert list(coordinator.ask({}, 0.0)) == []  # no broker runs


def test_a_silo_that_starts_after_the_coordinator_still_answers(broker, coordinator, silo_process):
    replies = coordinator.ask({"a": task("a"), "b": task("b")}, WAIT_S)
    silo_process("a").ready()
    assert next(replies).silo == "a"
    silo_process("b").ready()
    assert next(replies).silo == "b"
    assert list(replies) == []


def test_a_silo_that_starts_before_its_broker_waits_and_says_so_once(make_broker, coordinator, silo_process):
    silo = silo_process("a")
    silo.log.wait("waiting for the broker at tls://127.0.0.1:")
    make_broker()
    silo.ready()
    assert silo.log.text.count("waiting for the broker") == 1
    assert names(list(coordinator.ask({"a": task("a")}, WAIT_S))) == ["a"]


def test_a_coordinator_that_starts_before_the_broker_waits_for_it(make_broker, coordinator, serving):
    replies = coordinator.ask({"a": task("a")}, WAIT_S)
    serving("a")
    make_broker()
    assert next(replies).silo == "a"


def test_a_silent_silo_is_absent_at_the_deadline(broker, coordinator, serving):
    serving("a").ready()
    asked = {"a": task("a"), "b": task("b")}
    assert names(list(coordinator.ask(asked, 0.7))) == ["a"]
    assert coordinator.diagnostics.counts["absent"] > 1  # asked again and again, for it might come up


def test_no_broker_until_the_deadline_is_an_error(league, coordinator):
    with pytest.raises(TransportError, match=r"tls://127\.0\.0\.1:\d+ was not reached within 0\.2 s: is it running"):
        list(coordinator.ask({"a": task("a")}, 0.2))


def test_a_silo_killed_while_it_answers_is_asked_again(broker, coordinator, silo_process):
    replies = coordinator.ask({"a": task("a", payload={"x": 1.0})}, WAIT_S)
    first = silo_process("a", "ask").ready()
    got = []
    asking = threading.Thread(target=lambda: got.extend(replies))
    asking.start()
    first.out.wait("task 0")
    first.kill()
    silo_process("a").ready()
    asking.join(WAIT_S)
    assert [reply.facts for reply in got] == [{"payload": {"x": 1.0}}]


def test_a_silo_killed_between_rounds_rejoins_by_itself(broker, coordinator, silo_process):
    for round_ in range(3):
        silo = silo_process("a").ready()
        (reply,) = coordinator.ask({"a": task("a", round_)}, WAIT_S)
        assert reply.round == round_
        silo.kill()
    assert coordinator.diagnostics.counts["connected"] == 1


def test_a_silo_that_waits_for_its_broker_can_be_stopped(league, serving):
    silo = serving("a")
    until(lambda: any("waiting for the broker" in line for line in silo.lines))
    silo.stop()
    assert silo.failure is None


def test_a_broker_killed_mid_run_comes_back_and_nothing_is_lost(make_broker, coordinator, silo_process):
    broker = make_broker()
    silos = {name: silo_process(name, "ask").ready() for name in ("a", "b")}
    replies = coordinator.ask({name: task(name, 3) for name in silos}, WAIT_S)
    silos["a"].proceed()
    assert next(replies).silo == "a"
    silos["b"].out.wait("task 3")
    broker.kill()
    silos["b"].proceed()  # answered while there is no broker
    broker.start()
    silos["b"].proceed()  # the same task again, in case the first answer was lost
    assert next(replies).silo == "b"
    assert list(replies) == []
    assert coordinator.diagnostics.counts["connected"] == 2
    assert names(_next_round(coordinator, silos)) == ["a", "b"]


def _next_round(coordinator, silos):
    replies = coordinator.ask({name: task(name, 4) for name in silos}, WAIT_S)
    for silo in silos.values():
        silo.proceed()
    return list(replies)


def test_a_broker_killed_between_rounds_does_not_matter(make_broker, coordinator, serving):
    broker = make_broker()
    silo = serving("a")
    assert len(list(coordinator.ask({"a": task("a")}, WAIT_S))) == 1
    for round_ in (1, 2):
        broker.kill()
        until(lambda n=round_: sum("broke; connecting again" in line for line in silo.lines) == n)
        broker.start()
        assert len(list(coordinator.ask({"a": task("a", round_)}, WAIT_S))) == 1


def test_two_coordinators_share_a_silo_that_knows_who_asks(broker, league, coordinator, serving):
    from hanse.transports.nats import Nats
    from hanse.transports.settings import CoordinatorSettings

    settings = second_coordinator(league, "a")
    silo = serving("a")
    other = Nats(settings)
    try:
        here = coordinator.ask({"a": task("a", payload={"who": 1.0})}, WAIT_S)
        there = other.ask({"a": task("a", payload={"who": 2.0})}, WAIT_S)
        assert next(there).facts == {"payload": {"who": 2.0}}
        assert next(here).facts == {"payload": {"who": 1.0}}
        keys = {
            1.0: str(CoordinatorSettings.load(league / "coordinator.toml").connection.own_identity().public),
            2.0: str(settings.connection.own_identity().public),
        }
        asked = zip(silo.answered, silo.coordinators, strict=True)
        assert {task.payload["who"]: key for task, key in asked} == keys
    finally:
        other.close()


def test_an_agent_that_fails_gives_a_reply_without_its_words(broker, coordinator, serving):
    def fails(asked):
        raise ValueError("customer 4711 has no orders")

    silo = serving("a", answer=fails)
    (reply,) = coordinator.ask({"a": task("a")}, WAIT_S)
    assert reply.status == "failed"
    assert reply.message == "silo a could not answer; its own log says why"
    assert any("ValueError: customer 4711" in line for line in silo.lines)


def test_an_answer_too_large_or_no_plain_data_is_a_failed_reply(broker, coordinator, serving):
    import msgspec

    def large(asked):
        facts = {"text": "x" * MAX_MESSAGE_BYTES} if asked.round == 0 else {"object": object()}
        return msgspec.structs.replace(echo(asked), facts=facts)

    serving("a", answer=large)
    for round_ in (0, 1):
        (reply,) = coordinator.ask({"a": task("a", round_)}, WAIT_S)
        assert (reply.status, reply.message) == ("failed", "the answer is too large, or no plain data")


def test_a_task_too_large_is_known_before_anything_is_sent(league, coordinator):
    with pytest.raises(
        TransportError, match=r"silo a, describe: the task has 4,0\d\d,\d+ bytes, the limit is 3,998,000"
    ):
        coordinator.ask({"a": task("a", payload={"text": "x" * 4_000_000})}, WAIT_S)


def test_a_task_larger_than_the_broker_takes(make_broker, league, coordinator, serving):
    conf = league / "broker" / "nats.conf"
    conf.write_text(conf.read_text().replace("max_payload: 4194304", "max_payload: 10000"))
    make_broker()
    serving("a")
    with pytest.raises(TransportError, match=r"silo a, describe: a message of .* takes 10,000: raise max_payload"):
        list(coordinator.ask({"a": task("a", payload={"text": "x" * 20_000})}, WAIT_S))
    assert names(list(coordinator.ask({"a": task("a")}, WAIT_S))) == ["a"]


def test_an_answer_larger_than_the_broker_takes_is_a_failed_reply(make_broker, league, coordinator, serving):
    import msgspec

    conf = league / "broker" / "nats.conf"
    conf.write_text(conf.read_text().replace("max_payload: 4194304", "max_payload: 10000"))
    make_broker()
    silo = serving("a", answer=lambda asked: msgspec.structs.replace(echo(asked), facts={"text": "x" * 20_000}))
    (reply,) = coordinator.ask({"a": task("a")}, WAIT_S)
    assert (reply.status, reply.message) == ("failed", "the answer is larger than the broker takes")
    assert any("raise max_payload" in line for line in silo.lines)


def test_stores_of_one_silo_share_its_subject(broker, league, serving):
    from hanse.transports.nats import Nats
    from hanse.transports.settings import CoordinatorSettings

    silo = serving("a")
    transport = Nats(CoordinatorSettings.load(league / "coordinator.toml"), subjects={"north": "a"})
    try:
        tasks = {name: task(name) for name in ("north", "a/south")}
        assert names(list(transport.ask(tasks, WAIT_S))) == ["a/south", "north"]
    finally:
        transport.close()
    assert sorted(asked.silo for asked in silo.answered) == ["a/south", "north"]


def test_a_silo_without_a_key_is_named(league, coordinator):
    with pytest.raises(UsageError, match=r"silo c: coordinator\.toml has no key for c: valid: a, b"):
        coordinator.ask({"c": task("c")}, WAIT_S)


def test_a_retried_task_keeps_its_hash(broker, coordinator, serving):
    silo = serving("a")
    first = task("a", 7)
    assert len(list(coordinator.ask({"a": first}, WAIT_S))) == 1
    again = task("a", 7)
    (reply,) = coordinator.ask({"a": again}, WAIT_S)
    assert reply.task_hash == task_hash(first) == task_hash(again)
    assert len({asked.nonce for asked in silo.answered}) == 2


def test_closing_ends_the_thread_and_a_later_ask_connects_anew(broker, coordinator, serving):
    serving("a")
    assert len(list(coordinator.ask({"a": task("a")}, WAIT_S))) == 1
    coordinator.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "hanse-nats"]
    coordinator.close()
    assert len(list(coordinator.ask({"a": task("a", 1)}, WAIT_S))) == 1


def test_a_connection_to_a_broker_that_hangs_is_closed(broker, coordinator, serving):
    serving("a")
    assert names(list(coordinator.ask({"a": task("a")}, WAIT_S))) == ["a"]
    broker.process.send_signal(signal.SIGSTOP)
    try:
        coordinator.close()
        gc.collect()  # what was left open is told now, as an error
    finally:
        broker.process.send_signal(signal.SIGCONT)


def test_the_nats_package_is_not_heard(make_broker, coordinator, serving, caplog, capfd):
    broker = make_broker()
    serving("a")
    with caplog.at_level(logging.WARNING):
        assert len(list(coordinator.ask({"a": task("a")}, WAIT_S))) == 1
        broker.kill()
        broker.start()
        assert len(list(coordinator.ask({"a": task("a", 1)}, WAIT_S))) == 1
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
