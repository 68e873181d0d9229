"""Agents in this process."""

from __future__ import annotations

import threading

import msgspec
import pytest
from federation_support import WAIT_S, echo, names, task

from hanse.errors import DataError, UsageError
from hanse.transports.inprocess import InProcess
from hanse.transports.together import Together


@pytest.fixture
def transport():
    made = []

    def make(agents, **options):
        made.append(InProcess(agents, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_every_agent_answers(transport):
    silos = transport({"b": echo, "a": echo})
    assert silos.silos() == ["a", "b"]
    tasks = {silo: task(silo) for silo in ("a", "b")}
    replies = list(silos.ask(tasks, WAIT_S))
    assert names(replies) == ["a", "b"]
    assert all(reply == echo(tasks[reply.silo]) for reply in replies)


def test_replies_come_as_they_are_ready_and_the_deadline_ends_the_wait(transport):
    go = threading.Event()

    def slow(asked):
        go.wait(WAIT_S)
        return echo(asked)

    silos = transport({"slow": slow, "quick": echo})
    assert names(list(silos.ask({name: task(name) for name in ("slow", "quick")}, 0.2))) == ["quick"]
    go.set()
    (reply,) = silos.ask({"quick": task("quick", 1)}, WAIT_S)  # the late answer does not come up here
    assert (reply.silo, reply.round) == ("quick", 1)


@pytest.mark.parametrize("apart", [False, True])
def test_the_time_of_waiting_may_be_used(transport, apart):
    """By the thread that waits, while all silos work; also where they are reached in several ways."""
    began, go = threading.Semaphore(0), threading.Event()
    asked = {"a": task("a"), "b": task("b")}

    def slow(one):
        began.release()
        assert go.wait(WAIT_S)
        return echo(one)

    def meanwhile():
        used.append(threading.current_thread())
        for _ in asked:
            assert began.acquire(timeout=WAIT_S)
        go.set()

    used = []
    every = Together([transport({"a": slow}), transport({"b": slow})]) if apart else transport({"a": slow, "b": slow})
    assert names(list(every.ask(asked, WAIT_S, meanwhile))) == ["a", "b"]
    assert used == [threading.current_thread()]


def test_an_unknown_silo_is_told_before_anybody_is_asked(transport):
    with pytest.raises(UsageError, match=r"silo shop: no such silo: did you mean shop1\?"):
        transport({"shop1": echo}).ask({"shop": task("shop")}, WAIT_S)


@pytest.mark.parametrize("error", [DataError("customer 4711 has no orders"), ZeroDivisionError("4711")])
def test_an_agent_that_fails_gives_a_reply_without_its_words(transport, error):
    lines = []

    def fails(asked):
        raise error

    (reply,) = transport({"a": fails}, tell=lines.append).ask({"a": task("a")}, WAIT_S)
    assert (reply.status, reply.message) == ("failed", "silo a could not answer; its own log says why")
    assert "4711" in lines[0]


def test_an_answer_to_another_task_is_not_handed_on(transport):
    lines = []
    agent = lambda asked: msgspec.structs.replace(echo(asked), round=asked.round + 1)  # noqa: E731  # short
    (reply,) = transport({"a": agent}, tell=lines.append).ask({"a": task("a")}, WAIT_S)
    assert (reply.status, reply.round) == ("failed", 0)
    assert "answered another task" in lines[0]


def test_nothing_to_ask_and_closing_twice(transport):
    silos = transport({})
    assert list(silos.ask({}, 1.0)) == []
    silos.close()
    silos.close()
