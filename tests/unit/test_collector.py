"""Python's garbage collector is asked to look less often, and only for a while; what is imported counts as old."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hanse
from hanse.collector import load, patient


@pytest.fixture(autouse=True)
def threshold() -> Iterator[tuple[int, int, int]]:
    before = gc.get_threshold()
    gc.set_threshold(700, 11, 12)
    yield (700, 11, 12)
    gc.set_threshold(*before)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "a_large_module.py").write_text("made = [[n] for n in range(2000)]\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "a_large_module"
    sys.modules.pop("a_large_module", None)


def is_old(item: object) -> bool:
    return any(other is item for other in gc.get_objects(generation=2))


def test_patience_ends(threshold: tuple[int, int, int]) -> None:
    with patient():
        assert gc.get_threshold() == (50_000, 11, 12)
    assert gc.get_threshold() == threshold
    with hanse.connect() as session:
        session.sql("SELECT 1").fetchall()
        assert gc.get_threshold() == threshold


def test_patience_ends_with_the_last_of_several_threads(threshold: tuple[int, int, int]) -> None:
    """Who came first may leave first."""
    first, second = patient(), patient()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold() == (50_000, 11, 12)
    second.__exit__(None, None, None)
    assert gc.get_threshold() == threshold


def test_what_is_imported_counts_as_old_at_once(module: str) -> None:
    load(module)
    assert is_old(sys.modules[module].made)
    assert gc.get_freeze_count() == 0


def test_nothing_grows_old_where_all_is_imported(module: str) -> None:
    load(module)
    young = [object(), []]
    load(module)
    assert not is_old(young)


def test_who_switched_the_collector_off_finds_it_so(module: str) -> None:
    gc.set_threshold(0, 11, 12)
    load(module)
    assert gc.get_threshold() == (0, 11, 12)
