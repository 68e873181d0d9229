"""Silos whose replies nobody could expect: left out by name, or a clean end; never an error of Python's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from lying_support import Lie, league_of, lying_with, snapshots, status, training

import hanse
from hanse.errors import FederationError
from hanse.federation import strategies
from hanse.federation.coordinator import Coordinator
from hanse.registry import Registry

LABELLED = "MODEL_TYPE = 'logistic_reg', LABEL = 'z', REG_PARAM = 0.1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("silos")


@pytest.fixture(scope="module")
def league(folder: Path) -> Iterator[hanse.Session]:
    with league_of(folder) as session:
        yield session


def put(name: str, value: Any) -> Lie:
    return lambda statistics: statistics.__setitem__(name, value)


def filled(name: str, value: float) -> Lie:
    """Every number of an array, where there is one of that name."""

    def change(statistics: dict[str, Any]) -> None:
        if name in statistics:
            statistics[name] = np.full(np.shape(statistics[name]), value).tolist()

    return change


def both(*lies: Lie) -> Lie:
    def change(statistics: dict[str, Any]) -> None:
        for lie in lies:
            lie(statistics)

    return change


def left_out(league: hanse.Session, folder: Path, statement: str, message: str) -> None:
    """The training ends well without the liar, who is named."""
    (warning,) = league.sql(statement).warnings
    assert warning.startswith("silo liar took no part: ")
    assert message in warning
    assert status(league) == "done"
    assert snapshots(folder) == []
    told = dict(league.sql("DESCRIBE MODEL g").fetchall())
    assert '"silos": ["honest", "other"]' in told["training"]


@pytest.mark.parametrize("columns", [None, [], 5, {"x": 1, "y": "DOUBLE"}, "x, y"])
def test_columns_that_are_none(
    league: hanse.Session, folder: Path, monkeypatch: pytest.MonkeyPatch, columns: Any
) -> None:
    lying_with(monkeypatch, "describe", facts={"columns": columns})
    left_out(league, folder, training(), f"fact columns = {columns!r}: need the type of each column by its name")


@pytest.mark.parametrize("policy", [5, None, [1], {"min_customers": 10}, {"left": 3}])
def test_a_policy_that_is_none(league: hanse.Session, monkeypatch: pytest.MonkeyPatch, policy: Any) -> None:
    lying_with(monkeypatch, "describe", facts={"columns": {"x": "DOUBLE", "y": "DOUBLE"}, "policy": policy})
    rows = {row[0]: row[1:] for row in league.sql("EXPLAIN EGRESS " + training()).fetchall()}
    assert rows["liar"][:3] == ("", "", "")
    assert rows["liar"][3].startswith(f"fact policy = {policy!r}: need its rules")
    assert rows["honest"][0] == "evaluate"


MOMENTS: list[tuple[Lie, str]] = [
    (put("count", 10**400), "statistic count = 1000"),
    (put("count", 1e16), "statistic count = 10000000000000000: need at most 1e+15 rows"),
    (put("count", True), "statistic count = True is no array of numbers"),
    (put("count", "96"), "statistic count = '96' is no array of numbers"),
    (put("count", [[1], 2]), "statistic count = [[1], 2] is no array of numbers"),
    (put("mean", [[1.0], [2.0, 3.0]]), "statistic mean = [[1.0], [2.0, 3.0]] is no array of numbers"),
    (put("mean", [1e200, 0.0]), "statistic mean[0] = 9.9999999999999997e+199: need numbers from -1e+130 to 1e+130"),
    (put("m2", [1e200, 0.0]), "statistic m2[0] = 9.9999999999999997e+199: need numbers from -1e+130 to 1e+130"),
    (put("mean", {"x": 1.0}), "statistic mean = {'x': 1.0} is no array of numbers"),
]


@pytest.mark.parametrize(("lie", "message"), MOMENTS)
def test_moments(league: hanse.Session, folder: Path, monkeypatch: pytest.MonkeyPatch, lie: Lie, message: str) -> None:
    lying_with(monkeypatch, "moments", lie)
    left_out(league, folder, training(), message)
    assert len(league.sql("SHOW EGRESS FOR MODEL g").fetchall()) > 0


def test_a_mean_far_away_does_not_make_the_others_impossible(
    league: hanse.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying_with(monkeypatch, "moments", put("mean", [1e49, 1e49]))
    for strategy in ("one_shot", "article", "rounds"):
        warnings = league.sql(training(strategy)).warnings
        assert not [w for w in warnings if "took no part" in w], warnings


def test_shapes_of_what_is_ragged_are_shown(league: hanse.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    lying_with(monkeypatch, "moments", put("extra", [[1], 2]))
    assert league.sql(training()).warnings == []
    shown = [row[7] for row in league.sql("SHOW EGRESS FOR MODEL g").fetchall() if row[4:6] == ("liar", "moments")]
    assert shown[-1] == "count (), extra (ragged), m2 (2,), mean (2,)"


@pytest.mark.parametrize(
    ("strategy", "lie", "message"),
    [
        ("one_shot", put("sum", [[float("nan"), 1.0]]), "statistic sum[0][0] = nan"),
        ("one_shot", put("sum", [[1.0], [2.0, 3.0]]), "is no array of numbers"),
        ("one_shot", put("square", "much"), "statistic square = 'much' is no array of numbers"),
        ("article", put("mean", [[1.0, 2.0, 3.0]]), "statistic mean has shape (1, 3), need (clusters, 2)"),
        ("article", put("mean", [[1e60, 2.0]]), "need numbers from -1e+50 to 1e+50"),
    ],
)
def test_clusters_of_a_silo_that_was_left_out_are_not_compared(
    league: hanse.Session, folder: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, lie: Lie, message: str
) -> None:
    with monkeypatch.context() as patch:
        lying_with(patch, "summarize", lie)
        left_out(league, folder, training(strategy), message)
    compared = league.sql("SELECT DISTINCT silo FROM federated_compare(g, 1) ORDER BY silo")
    assert compared.fetchall() == [("honest",), ("other",)]
    assert compared.warnings == []


@pytest.mark.parametrize(
    ("strategy", "scaled", "kind", "options", "lie", "message"),
    [
        ("rounds", False, "observe", None, filled("weight", 1.7e308), "statistic weight"),
        ("rounds", False, "observe", None, filled("square", 1e300), "need numbers from -1e+130 to 1e+130"),
        ("rounds", True, "observe", None, filled("cross", -1e300), "need numbers from -1e+130 to 1e+130"),
        ("one_shot", True, "fit", LABELLED, filled("coefficients", 1e300), "statistic coefficients[0] = "),
        ("one_shot", True, "fit", LABELLED, filled("coefficients", 1e60), "need numbers from -1e+50 to 1e+50"),
        ("one_shot", True, "fit", LABELLED, filled("intercept", -1e60), "need numbers from -1e+50 to 1e+50"),
        ("one_shot", False, "summarize", None, both(filled("count", 1e308), filled("square", 1e300)), "statistic "),
        ("one_shot", False, "summarize", None, filled("count", 1e100), "need at most 1e+15 rows"),
    ],
)
def test_numbers_too_large(
    league: hanse.Session,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    strategy: str,
    scaled: bool,
    kind: str,
    options: str | None,
    lie: Lie,
    message: str,
) -> None:
    lying_with(monkeypatch, kind, lie)
    columns = "x, y" if options is None else "x, y, z"
    given = {} if options is None else {"options": options}
    left_out(league, folder, training(strategy, scaled, columns=columns, **given), message)


@pytest.mark.parametrize(
    ("kind", "lie", "facts"),
    [
        ("moments", put("count", 10**400), None),
        ("moments", put("count", float("nan")), None),
        ("moments", put("count", [[1], 2]), None),
        ("summarize", put("sum", [[float("nan"), 1.0]]), None),
        ("describe", None, {"columns": 5}),
    ],
)
def test_a_run_that_is_resumed_leaves_it_out_likewise(
    league: hanse.Session,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    lie: Lie | None,
    facts: dict[str, Any] | None,
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        lying_with(patch, kind, lie, facts=facts)
        patch.setattr(Registry, "replace", killed)
        with pytest.raises(hanse.errors.CancelledError):
            league.sql(training())
        assert status(league) == "open"
    (warning,) = league.sql("RESUME MODEL g").warnings
    assert warning.startswith("silo liar took no part: ")
    assert status(league) == "done"
    assert snapshots(folder) == []


@pytest.mark.parametrize("error", [TypeError("of Python's own"), MemoryError("all is full")])
def test_any_error_ends_the_run(
    league: hanse.Session, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object) -> Any:
        raise error

    monkeypatch.setattr(strategies, "_cluster", broken)
    with pytest.raises(type(error)):
        league.sql(training())
    assert status(league) == "failed"
    assert snapshots(folder) == []
    with pytest.raises(FederationError, match="the last run of model g failed, and is over at its silos"):
        league.sql("RESUME MODEL g")


def test_numbers_that_only_together_are_impossible_name_the_silos(
    league: hanse.Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Any:
        raise OverflowError("too large")

    monkeypatch.setattr(strategies, "_cluster", broken)
    with pytest.raises(FederationError, match="no model comes of what silos honest, other, liar released"):
        league.sql(training())
    assert status(league) == "failed"
    assert snapshots(folder) == []


def test_what_is_over_soon_does_not_end_the_run(
    league: hanse.Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> Any:
        raise hanse.errors.TransportError("the broker is away")

    with monkeypatch.context() as patch:
        patch.setattr(Coordinator, "observe", unreachable)
        with pytest.raises(hanse.errors.TransportError):
            league.sql(training("rounds"))
        assert status(league) == "open"
    assert league.sql("RESUME MODEL g").warnings == []
    assert snapshots(folder) == []


def test_what_the_journal_holds_is_plain_data() -> None:
    """Whole numbers of any length survive it; what is not a number becomes null, and is refused as such."""
    assert msgspec.json.decode(msgspec.json.encode([10**400, float("nan")])) == [10**400, None]
