"""Silos whose numbers cannot be right: the coordinator leaves them out, and names silo, field and value."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from silo_support import blobs, fill, silo_toml

import hanse
from hanse.errors import FederationError
from hanse.federation.silo import Silo
from hanse.messages import Reply, Task

SIZES = {"honest": [60, 40], "other": [50, 45], "liar": [55, 41]}
ALLOWED = (
    'strategies = ["one_shot", "article", "rounds"]\nexact_rounds = true\ninstall = "auto"\n'
    "runs_per_day = 1000\ncells_per_day = 100000"
)
NAN = float("nan")

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def league(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A session with three silos; each test trains anew."""
    folder = tmp_path_factory.mktemp("liars")
    with hanse.connect() as session:
        for number, (name, sizes) in enumerate(SIZES.items()):
            (folder / name).mkdir()
            fill(folder / name / "shop.duckdb", blobs(sizes, seed=number))
            config = silo_toml(folder / name, ALLOWED, name=name)
            database = folder / name / "shop.duckdb"
            session.sql(f"CREATE SILO {name} OPTIONS (database = '{database}', config = '{config}')")
        yield session


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Change], None]:
    """Makes the third silo change its statistics of one kind before they are sent; ledger and signature agree."""

    def change(kind: str, how: Change, phase: int = 1) -> None:
        answer = Silo.answer

        def changed(self: Silo, task: Task, *, coordinator: str = "") -> Reply:
            reply = answer(self, task, coordinator=coordinator)
            if (self.config.name, task.kind, task.payload.get("phase", phase)) != ("liar", kind, phase):
                return reply
            statistics = copy.deepcopy(reply.statistics)
            how(statistics)
            return msgspec.structs.replace(reply, statistics=statistics)

        monkeypatch.setattr(Silo, "answer", changed)

    return change


def statement(strategy: str, quorum: int = 2) -> str:
    return (
        "CREATE OR REPLACE FEDERATED MODEL g TRANSFORM (vector_assembler(array(x, y)) f, standard_scaler(f, true, true) z) "
        f"OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 2, STRATEGY = '{strategy}', QUORUM = {quorum}) "
        "OVER SILOS (honest, other, liar) AS SELECT x, y FROM features"
    )


def put(name: str, value: Any, *place: int) -> Change:
    """Sets a statistic, or a number in it."""

    def change(statistics: dict[str, Any]) -> None:
        if not place:
            statistics[name] = value
            return
        inner = statistics[name]
        for i in place[:-1]:
            inner = inner[i]
        inner[place[-1]] = value

    return change


def drop(name: str) -> Change:
    return lambda statistics: statistics.pop(name)


def scaled(name: str, factor: float) -> Change:
    def change(statistics: dict[str, Any]) -> None:
        statistics[name] = (np.array(statistics[name]) * factor).tolist()

    return change


LIES: list[tuple[str, str, Change, str]] = [
    ("moments", "one_shot", put("count", NAN), r"statistic count = nan: need finite numbers"),
    ("moments", "one_shot", put("count", 0.0), r"statistic count = 0: need 1 or more"),
    ("moments", "one_shot", put("count", -96.0), r"statistic count = -96: need 1 or more"),
    ("moments", "one_shot", put("count", 95.5), r"statistic count = 95\.5: need whole numbers of rows"),
    ("moments", "one_shot", put("count", [96.0]), r"statistic count has shape \(1,\), need \(\)"),
    ("moments", "one_shot", put("mean", float("inf"), 1), r"statistic mean\[1\] = inf: need finite numbers"),
    ("moments", "one_shot", put("mean", [1.0, 2.0, 3.0]), r"statistic mean has shape \(3,\), need \(2,\)"),
    ("moments", "one_shot", put("mean", "many"), r"statistic mean = 'many' is no array of numbers"),
    ("moments", "one_shot", put("mean", [[1.0], 2.0]), r"statistic mean = \[\[1\.0\], 2\.0\] is no array of numbers"),
    ("moments", "one_shot", put("m2", -1.5, 0), r"statistic m2\[0\] = -1\.5: need 0 or more"),
    ("moments", "one_shot", drop("m2"), r"statistic m2 is missing"),
    ("summarize", "one_shot", put("count", NAN, 0), r"statistic count\[0\] = nan: need finite numbers"),
    ("summarize", "one_shot", put("count", -3.0, 1), r"statistic count\[1\] = -3: need 1 or more"),
    ("summarize", "one_shot", put("count", 20.5, 0), r"statistic count\[0\] = 20\.5: need whole numbers of rows"),
    ("summarize", "one_shot", put("count", 96.0), r"statistic count has shape \(\), need \("),
    ("summarize", "one_shot", scaled("count", 2.0), r"adds up to 192 rows, and in its moments it was 96: need as many"),
    ("summarize", "one_shot", put("sum", NAN, 0, 1), r"statistic sum\[0\]\[1\] = nan: need finite numbers"),
    ("summarize", "one_shot", put("sum", [[1.0, 2.0, 3.0]]), r"statistic sum has shape \(1, 3\), need \(clusters, 2\)"),
    (
        "summarize",
        "one_shot",
        scaled("square", 0.5),
        r"statistic square\[\d\]\[\d\] = [\d.]+: need at least the square",
    ),
    ("summarize", "one_shot", put("square", [[1.0, 1.0]]), r"statistic square has shape \(1, 2\), need \("),
    ("summarize", "one_shot", drop("count"), r"statistic count is missing"),
    ("summarize", "one_shot", drop("sum"), r"statistic sum is missing"),
    ("summarize", "article", put("mean", NAN, 0, 0), r"statistic mean\[0\]\[0\] = nan: need finite numbers"),
    ("summarize", "article", put("mean", [1.0, 2.0]), r"statistic mean has shape \(2,\), need \(clusters, 2\)"),
    ("summarize", "article", drop("mean"), r"statistic mean is missing"),
    ("observe", "rounds", put("count", NAN), r"statistic count = nan: need finite numbers"),
    ("observe", "rounds", put("count", -1.0), r"statistic count = -1: need 0 or more"),
    ("observe", "rounds", put("count", 1.25), r"statistic count = 1\.25: need whole numbers of rows"),
    (
        "observe",
        "rounds",
        put("count", 97.0),
        r"adds up to 97 rows, and in its moments it was 96: need as many",
    ),
    ("observe", "rounds", drop("count"), r"statistic count is missing"),
    ("observe", "rounds", put("count", [1.0, 2.0]), r"statistic count has shape \(2,\), need \(\)"),
]


@pytest.mark.parametrize(("kind", "strategy", "lie", "message"), LIES)
def test_a_silo_that_cannot_be_right_is_left_out_by_name(
    league: hanse.Session, lying: Any, kind: str, strategy: str, lie: Change, message: str
) -> None:
    lying(kind, lie)
    result = league.sql(statement(strategy))
    assert len(result.warnings) == 1
    assert re.match(rf"silo liar took no part: .*{message}", result.warnings[0]), result.warnings
    told = dict(league.sql("DESCRIBE MODEL g").fetchall())
    assert '"silos": ["honest", "other"]' in told["training"]
    if strategy != "article":
        assert int(told["rows"]) == sum(SIZES["honest"] + SIZES["other"])


@pytest.mark.parametrize("kind", ["moments", "summarize"])
def test_where_the_quorum_needs_it_nothing_is_registered(league: hanse.Session, lying: Any, kind: str) -> None:
    league.sql("DROP MODEL IF EXISTS g")
    lying(kind, put("count", NAN) if kind == "moments" else put("count", NAN, 0))
    with pytest.raises(FederationError, match=r"quorum missed: 2 of 3 silos .*liar: statistic count.* = nan"):
        league.sql(statement("one_shot", quorum=3))
    assert league.sql("SHOW MODELS").fetchall() == []


@pytest.mark.parametrize(
    ("phase", "lie", "message"),
    [
        (1, put("count", NAN, 0), r"statistic count\[0\] = nan: need finite numbers"),
        (1, put("count", -1.0, 1), r"statistic count\[1\] = -1: need 0 or more"),
        (1, put("count", 30.5, 1), r"statistic count\[1\] = 30\.5: need whole numbers"),
        (1, put("count", [0.0, 0.0]), r"statistic count = \[0\.0, 0\.0\]: need some rows"),
        (1, put("count", [1.0]), r"statistic count has shape \(1,\), need \(2,\)"),
        (1, put("count", 0.0, 0), r"statistic square\[0\] = [\d.e+]+: need 0 for a cell without rows"),
        (1, put("sum", float("-inf"), 0, 1), r"statistic sum\[0\]\[1\] = -inf: need finite numbers"),
        (1, put("square", 0.0, 0), r"statistic square\[0\] = 0: need at least the square of the sum over count"),
        (1, drop("square"), r"statistic square is missing"),
        (2, put("silhouette", NAN), r"statistic silhouette = nan: need finite numbers"),
        (2, put("silhouette", 96.5), r"statistic silhouette = 96\.5: need -96 to 96, its rows"),
        (2, put("inertia", -1.0), r"statistic inertia = -1: need [\d.]+, as its sums of phase 1 tell"),
        (2, scaled("inertia", 0.5), r"statistic inertia = [\d.]+: need [\d.]+, as its sums of phase 1 tell"),
        (2, put("distance", -1.0, 1), r"statistic distance\[1\] = -1: need 0 or more"),
        (2, put("distance", [1.0, 2.0, 3.0]), r"statistic distance has shape \(3,\), need \(2,\)"),
        (2, drop("inertia"), r"statistic inertia is missing"),
    ],
)
def test_an_evaluation_that_cannot_be_right_names_the_silo(
    league: hanse.Session, lying: Any, phase: int, lie: Change, message: str
) -> None:
    league.sql(statement("one_shot"))
    lying("evaluate", lie, phase)
    result = league.sql("SELECT * FROM federated_evaluate(g, 1) ORDER BY silo")
    rows = {row[0]: row[1:] for row in result.fetchall()}
    assert list(rows) == sorted(SIZES)
    assert set(rows["liar"]) == {None}
    assert None not in rows["honest"] + rows["other"]
    assert len(result.warnings) == 1
    assert re.match(rf"silo liar released no measures of model g: .*{message}", result.warnings[0])


def test_honest_silos_pass_the_same_checks(league: hanse.Session, tmp_path: Path) -> None:
    for strategy in ("one_shot", "article", "rounds"):
        assert league.sql(statement(strategy)).warnings == []
        evaluated = league.sql("SELECT * FROM federated_evaluate(g, 1)")
        assert evaluated.warnings == []
        assert len(evaluated.fetchall()) == len(SIZES)
