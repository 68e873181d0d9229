"""Statements over stores in processes of their own, through a real broker, and what is left of them after real kills."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation_support import nats_server
from stores_support import MARKER, SIZES, Hanse, League, centroids, journalled, model, silos

import hanse
from hanse.errors import FederationError
from hanse.federation.audit import entries_of, verify

ROUNDS = "STRATEGY = 'rounds', TIMEOUT = 60"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[League]:
    """The federation; two of its three stores are served all the time."""
    nats_server()
    made = League(tmp_path_factory.mktemp("stores"))
    served = [made.serve(name) for name in ("north", "south")]
    for process in served:
        process.log.wait("is ready")
    yield made
    for process in served:
        process.kill()
    made.broker.kill()


@pytest.fixture
def west(stores: League) -> Iterator[Callable[..., Hanse]]:
    """Starts the third store, held at a task or free; it is killed in the end."""
    made: list[Hanse] = []

    def start(*held: Any) -> Hanse:
        made.append(stores.held("west", *held) if held else stores.serve("west"))
        return made[-1]

    yield start
    for process in made:
        process.kill()


@pytest.fixture
def run(stores: League) -> Iterator[Callable[[Path, str], Hanse]]:
    """Starts ``hanse run``; it is killed in the end."""
    made: list[Hanse] = []

    def start(workspace: Path, script: str, *held: str) -> Hanse:
        made.append(stores.run(workspace, script, *held))
        return made[-1]

    yield start
    for process in made:
        process.kill()


@pytest.fixture(scope="module")
def twin(stores: League) -> Mapping[str, Any]:
    """What the same stores give within one process, undisturbed."""
    with hanse.connect() as session:
        session.sql("".join(stores.twin(name) for name in SIZES))
        session.sql(model("g"))
        session.sql(model("r", ROUNDS))
        return {
            "g": centroids(session, "g"),
            "r": centroids(session, "r"),
            "model": session.registry.load("g")[1].model,
            "evaluated": session.sql("SELECT * FROM federated_evaluate(g, 1) ORDER BY silo").fetchall(),
            "sent": sent(session, "g"),
        }


def sent(session: hanse.Session, name: str) -> set[tuple[Any, ...]]:
    """Who answered what, in which shapes."""
    return {(row[4], row[5], row[7]) for row in session.sql(f"SHOW EGRESS FOR MODEL {name}").fetchall()}


def same(ours: list[tuple[Any, ...]], theirs: list[tuple[Any, ...]]) -> bool:
    return np.array(ours) == pytest.approx(np.array(theirs), rel=1e-9, abs=1e-9)


def ledgers(stores: League) -> Iterator[Path]:
    for name in SIZES:
        yield stores.config(name).parent / f"{name}.ledger"


def test_the_whole_path_with_a_store_that_comes_late(
    stores: League, west: Callable[..., Hanse], run: Callable[..., Hanse], twin: Mapping[str, Any], tmp_path: Path
) -> None:
    workspace = tmp_path / "w"
    measured = "SELECT * FROM federated_evaluate(g, 1) ORDER BY silo;\nSHOW EGRESS FOR MODEL g;"
    training = run(workspace, silos() + model("g") + measured)
    journalled(workspace, "describe", "north", "south")
    west()
    assert training.ended() == 0, training.log.text
    assert "warning" not in training.log.text
    for name in SIZES:
        assert re.search(rf"{name} .*summarize", training.out.text)
    with hanse.connect(workspace, federation=stores.coordinator) as session:
        assert same(centroids(session, "g"), twin["g"])
        assert sent(session, "g") >= twin["sent"]
        evaluated = session.sql("SELECT * FROM federated_evaluate(g, 1) ORDER BY silo").fetchall()
        assert [row[0] for row in evaluated] == sorted(SIZES)
        assert same([row[1:] for row in evaluated], [row[1:] for row in twin["evaluated"]])
    with hanse.connect(registry=stores.config("west").parent / "registry.sqlite") as store:
        assert [row[1] for row in store.sql("SHOW MODELS").fetchall()] == ["league.g"]
    holds_no_row(stores, workspace)


def holds_no_row(stores: League, workspace: Path) -> None:
    """No customer and no value of a row stands in a ledger, in the journal or in what the broker logged.

    The broker logs every message as it sees it.
    """
    for path in ledgers(stores):
        assert verify(path).problems == ()
        statistics = [json.loads(entry.payload).get("statistics", {}) for entry in entries_of(path) if entry.payload]
        cells = [count for found in statistics for count in np.ravel(found.get("count", []))]
        assert cells
        assert min(cells) >= 10
    seen = [path.read_bytes() for path in ledgers(stores)]
    seen += [path.read_bytes() for path in workspace.glob("registry.sqlite*")]
    logged = stores.broker.log.text
    assert "MSG_PAYLOAD" in logged
    assert "hanse.task.west" in logged
    assert "customer_features" not in logged  # tasks are sealed too
    seen.append(logged.encode())
    values = [float(value) for rows in stores.rows.values() for value in rows.ravel()]
    text = b"\n".join(seen)
    assert MARKER.encode() not in text
    assert [value for value in values if repr(value).encode() in text] == []
    assert [value for value in values if struct.pack("<d", value) in text or struct.pack(">d", value) in text] == []


def test_an_absent_store_is_named_or_stops_the_run(stores: League, run: Callable[..., Hanse], tmp_path: Path) -> None:
    training = run(tmp_path / "w", silos() + model("met", "QUORUM = 2, TIMEOUT = 4") + model("missed", "TIMEOUT = 4"))
    assert training.ended() == 1
    assert "silo west took no part: no answer within 4 s" in training.log.text
    assert "quorum missed: 2 of 3 silos take part, need 3 (west: no answer within 4 s)" in training.log.text
    assert ": start those that do not answer, or set QUORUM lower; no model was registered" in training.log.text
    assert "Traceback" not in training.log.text
    with hanse.connect(tmp_path / "w") as session:
        assert [row[1] for row in session.sql("SHOW MODELS").fetchall()] == ["met"]
        asked = session.sql("SHOW EGRESS FOR MODEL missed").fetchall()
        assert {row[4] for row in asked if row[6] == "silent"} == {"west"}
        with pytest.raises(FederationError, match="the last run of model missed failed"):
            session.sql("RESUME MODEL missed")


@pytest.mark.parametrize(
    ("name", "options", "kind", "number", "power"),
    [
        ("g", "TIMEOUT = 60, MIN_CUSTOMERS = 11", "describe", 0, True),
        ("g", "TIMEOUT = 60, MIN_CUSTOMERS = 12", "moments", 0, True),
        ("g", "TIMEOUT = 60, MIN_CUSTOMERS = 13", "summarize", 0, True),
        ("r", ROUNDS + ", MIN_CUSTOMERS = 11", "observe", 4, True),
        ("r", ROUNDS + ", MIN_CUSTOMERS = 14", "observe", 5, False),
    ],
    ids=["describe", "moments", "summarize", "observe", "power_cut"],
)
def test_a_coordinator_that_was_killed_resumes_with_the_same_model(
    stores: League,
    west: Callable[..., Hanse],
    run: Callable[..., Hanse],
    twin: Mapping[str, Any],
    tmp_path: Path,
    name: str,
    options: str,
    kind: str,
    number: int,
    power: bool,
) -> None:
    workspace = tmp_path / "w"
    third = west("before", kind, number)
    training = run(workspace, silos() + model(name, options))
    third.out.wait("held")
    journalled(workspace, kind, "north", "south")
    training.kill()
    third.go()
    if not power:
        cut_power(workspace)
    with hanse.connect(workspace, federation=stores.coordinator) as session:
        assert session.sql("SHOW MODELS").fetchall() == []
        before = session.sql(f"SHOW EGRESS FOR MODEL {name}").fetchall()
        session.sql(f"RESUME MODEL {name}")
        assert same(centroids(session, name), twin[name])
        after = session.sql(f"SHOW EGRESS FOR MODEL {name}").fetchall()
    assert len(before) >= 2 if power else not before
    assert set(map(str, before)) <= set(map(str, after))  # nobody was asked again for what is written down


def cut_power(workspace: Path) -> None:
    """What had not waited for the disk is lost."""
    for path in workspace.glob("*.replies"):
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("when", "power"),
    [*((when, True) for when in ("trained", "registered", "install", "finish", "offered")), ("offered", False)],
)
def test_a_coordinator_that_was_killed_after_its_last_round_resumes_to_the_end(
    stores: League,
    west: Callable[..., Hanse],
    run: Callable[..., Hanse],
    twin: Mapping[str, Any],
    tmp_path: Path,
    when: str,
    power: bool,
) -> None:
    workspace, name = tmp_path / "w", f"killed_{when}_{power}"
    if when in ("install", "finish"):
        third = west("before", when)
        training = run(workspace, silos() + model(name))
        third.out.wait("held")
        journalled(workspace, when, "north", "south")
        training.kill()
        third.kill()
        west()
    else:
        west()
        training = run(workspace, silos() + model(name), when)
        training.out.wait("held")
        training.kill()
    if not power:
        cut_power(workspace)
    with hanse.connect(workspace, federation=stores.coordinator) as session:
        before = [row[1:3] for row in session.sql("SHOW MODELS").fetchall()]
        assert before == ([] if when == "trained" else [(name, 1)])
        session.sql(f"RESUME MODEL {name}")
        assert [row[1:3] for row in session.sql("SHOW MODELS").fetchall()] == [(name, 1)]
        assert session.registry.load(name)[1].model == twin["model"]  # to the last bit
        offered = [row[4] for row in session.sql(f"SHOW EGRESS FOR MODEL {name}").fetchall() if row[5] == "install"]
        assert sorted(offered) == sorted(SIZES)
        with pytest.raises(FederationError, match=f"the last run of model {name} is done: there is nothing to resume"):
            session.sql(f"RESUME MODEL {name}")
    for silo in SIZES:
        assert installed(stores, silo, name) == 1


def installed(stores: League, silo: str, name: str) -> int:
    """How often a store took a model over, by its ledger; its registry must have it."""
    folder = stores.config(silo).parent
    with hanse.connect(registry=folder / "registry.sqlite") as store:
        assert f"league.{name}" in [row[1] for row in store.sql("SHOW MODELS").fetchall()]
    entries = [entry for entry in entries_of(folder / f"{silo}.ledger") if entry.kind == "install"]
    return sum(f'"name":"league.{name}"' in entry.payload for entry in entries)


def test_a_store_that_kept_silent_when_the_model_was_offered_is_offered_it_again(
    stores: League, west: Callable[..., Hanse], run: Callable[..., Hanse], tmp_path: Path
) -> None:
    third = west("before", "install")
    training = run(tmp_path / "w", silos() + model("late", "TIMEOUT = 4"))
    assert training.ended() == 0, training.log.text
    told = "silo west did not take the model over: no answer within 4 s; RESUME MODEL late offers it again"
    assert told in training.log.text
    third.go()
    with hanse.connect(tmp_path / "w", federation=stores.coordinator) as session:
        session.sql("RESUME MODEL late")
        with pytest.raises(FederationError, match="there is nothing to resume"):
            session.sql("RESUME MODEL late")
    assert [installed(stores, silo, "late") for silo in SIZES] == [1, 1, 1]


def test_a_store_that_is_killed_before_during_and_after_its_answer_comes_back(
    stores: League, west: Callable[..., Hanse], run: Callable[..., Hanse], twin: Mapping[str, Any], tmp_path: Path
) -> None:
    third = west("before", "observe", 1)
    training = run(tmp_path / "w", silos() + model("r", ROUNDS + ", MIN_CUSTOMERS = 12"))
    for held in (("during", "observe"), ("after", "observe"), ()):
        third.out.wait("held")
        third.kill()
        third = west(*held)
    assert training.ended() == 0, training.log.text
    with hanse.connect(tmp_path / "w") as session:
        assert same(centroids(session, "r"), twin["r"])
    assert [verify(path).problems for path in ledgers(stores)] == [()] * len(SIZES)


def test_a_broker_that_is_killed_in_the_middle_of_a_run_comes_back(
    stores: League, west: Callable[..., Hanse], run: Callable[..., Hanse], twin: Mapping[str, Any], tmp_path: Path
) -> None:
    third = west("after", "summarize")
    training = run(tmp_path / "w", silos() + model("g", "TIMEOUT = 60, MIN_CUSTOMERS = 14"))
    third.out.wait("held")
    stores.broker.kill()
    third.go()
    stores.broker.start()
    assert training.ended() == 0, training.log.text
    with hanse.connect(tmp_path / "w") as session:
        assert same(centroids(session, "g"), twin["g"])
