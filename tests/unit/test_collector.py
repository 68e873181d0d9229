"""Python's garbage collector is asked to look less often while a session is open, and only then."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

import hanse
from hanse.errors import UsageError


@pytest.fixture(autouse=True)
def threshold() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    gc.set_threshold(700, 11, 12)
    yield (700, 11, 12)
    gc.set_threshold(*before)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_last_session_to_close_gives_the_threshold_back(
    order: tuple[int, int, int], threshold: tuple[int, int, int]
) -> None:
    sessions = [hanse.connect() for _ in order]
    for number in order:
        assert gc.get_threshold()[0] >= 100_000
        assert gc.get_threshold()[1:] == threshold[1:]
        sessions[number].close()
        sessions[number].close()
    assert gc.get_threshold() == threshold


def test_a_session_that_does_not_open_changes_nothing(threshold: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError):
        hanse.connect(engine="none")
    assert gc.get_threshold() == threshold


def test_who_switched_the_collector_off_finds_it_so() -> None:
    gc.set_threshold(0, 11, 12)
    with hanse.connect():
        assert gc.get_threshold() == (0, 11, 12)
    assert gc.get_threshold() == (0, 11, 12)
