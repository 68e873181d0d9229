"""A silo whose histogram of scores cannot be right: the model is made, and the silo named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lying_support import league_of, lying_with, training

import hanse
from hanse.messages import Reason


@pytest.fixture(scope="module")
def league(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hanse.Session]:
    with league_of(tmp_path_factory.mktemp("scores")) as session:
        yield session


@pytest.mark.parametrize(
    "cells",
    [
        (0,) * 11 + (10**12,),
        (0,) * 11 + (-1,),
        (0,) * 11 + (2,),
        (0,) * 5,
        tuple(range(100_000)),
    ],
)
def test_joined_cells_are_those_of_the_plan(
    league: hanse.Session, monkeypatch: pytest.MonkeyPatch, cells: tuple[int, ...]
) -> None:
    lying_with(monkeypatch, "evaluate", phase="scores", reasons=(Reason(code="merged", cells=cells),))
    (warning,) = league.sql(training()).warnings
    assert "the model keeps no quantiles of its scores" in warning
    assert "liar: merged cells [0, " in warning
    assert "need 12 numbers from 0 on" in warning
    assert len(warning) < 300
