"""Work that Ctrl-C can stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from hanse.engines.interruptible import Interruptible


@pytest.fixture
def stopped() -> threading.Event:
    return threading.Event()


@pytest.fixture
def interruptible(stopped: threading.Event) -> Iterator[Interruptible]:
    made = Interruptible(stopped.set)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield made
    signal.signal(signal.SIGINT, before)
    made.close()


def test_work_gives_its_value_or_its_error(interruptible: Interruptible) -> None:
    assert interruptible.run(lambda: 6 * 7) == 42
    with pytest.raises(ZeroDivisionError):
        interruptible.run(lambda: 1 // 0)


def test_the_main_thread_is_of_use_while_work_takes_long(interruptible: Interruptible) -> None:
    helped = threading.Event()

    def long() -> bool:
        return helped.wait(60)

    def failing() -> None:
        helped.set()
        raise OSError

    assert interruptible.run(long, helped.set)
    helped.clear()
    assert interruptible.run(long, failing)


def test_ctrl_c_interrupts_the_work_and_waits_for_its_end(
    interruptible: Interruptible, stopped: threading.Event
) -> None:
    ended = threading.Event()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped.wait(60)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        interruptible.run(work)
    assert ended.is_set()
    assert interruptible.run(lambda: "and goes on") == "and goes on"


def test_pressing_it_again_changes_nothing(interruptible: Interruptible, stopped: threading.Event) -> None:
    def work() -> None:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
            assert stopped.wait(60)

    with pytest.raises(KeyboardInterrupt):
        interruptible.run(work)
    assert interruptible.run(lambda: 1) == 1


def test_another_thread_does_its_work_itself(interruptible: Interruptible) -> None:
    found: list[threading.Thread] = []
    thread = threading.Thread(target=lambda: found.append(interruptible.run(threading.current_thread)))
    thread.start()
    thread.join()
    assert found == [thread]
