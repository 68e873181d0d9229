"""No value of a row leaves a silo: marked rows, a whole training over a broker that keeps all it sees, and a search."""

from __future__ import annotations

import base64
import json
import secrets
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from federation_support import nats_server
from fleet_support import Fleet
from marker_support import Markers, forms_of_number, forms_of_text

import hanse
from hanse.federation.audit import entries_of

SIZES = {"harbour": (70, 40, 5), "market": (60, 45, 30), "station": (50, 30, 30)}
COLUMNS = ("basket_worth_quux", "visits_paid_quux")
READABLE = (
    *COLUMNS,
    "purchases_quux",
    "shopper_key_quux",
    "model_quux",
    "bisecting_kmeans",
    "one_shot",
    "statistics",
    "standard_scaler",
    "summarize",
    "expires_at",
)
"""Names that parties tell each other; the broker must not be able to read even these."""

SILO = f"""
[publish.purchases_quux]
relation = "purchases_quux"
customer = "shopper_key_quux"
columns = {json.dumps(list(COLUMNS))}

[policy]
strategies = ["one_shot", "rounds"]
exact_rounds = true
install = "auto"
"""


def statement(name: str, strategy: str) -> str:
    return (
        f"CREATE FEDERATED MODEL {name} TRANSFORM (vector_assembler(array({', '.join(COLUMNS)})) f, "
        "standard_scaler(f, true, true) z) OPTIONS (MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3, "
        f"STRATEGY = '{strategy}', TIMEOUT = 60) OVER SILOS ({', '.join(SIZES)}) "
        f"AS SELECT {', '.join(COLUMNS)} FROM purchases_quux"
    )


class Trained:
    """The fleet after two trainings, their evaluations and their installation, and all that anybody got to see.

    Args:
        folder: a new one.
    """

    def __init__(self, folder: Path) -> None:
        random = np.random.default_rng(41)
        self.rows: dict[str, Any] = {}
        self.ids: dict[str, list[str]] = {}
        for name, sizes in SIZES.items():
            centres = ((10.0, 3.0), (60.0, 9.0), (25.0, 40.0))
            parts = [random.normal(centre, 1.5, (size, 2)) for centre, size in zip(centres, sizes, strict=True)]
            self.rows[name] = np.concatenate(parts)
            self.ids[name] = [f"shopper-{secrets.token_hex(8)}" for _ in self.rows[name]]
        self.mail = {name: [f"{secrets.token_hex(6)}@example.org" for _ in ids] for name, ids in self.ids.items()}
        self.markers = Markers(
            np.concatenate([rows.ravel() for rows in self.rows.values()]),
            [text for texts in (self.ids, self.mail) for values in texts.values() for text in values],
        )
        self.workspace = folder / "headquarters"
        self.fleet = Fleet(folder, dict.fromkeys(SIZES, SILO), self._fill, spied=True)
        try:
            self._train()
            assert self.fleet.spy is not None
            self.planted = f"planted-{secrets.token_hex(8)}".encode()
            self.fleet.spy.send(self.fleet.server, self.planted)
            self.pages = self.fleet.spy.pages()
            self.kept = self.fleet.spy.kept(self.fleet.server)
        finally:
            self.fleet.close()
        self.files = self.fleet.spy.files()

    def _fill(self, name: str, path: Path) -> None:
        columns = dict(zip(COLUMNS, self.rows[name].T, strict=True))
        held = {"shopper_key_quux": self.ids[name], "mail": self.mail[name], **columns}
        with duckdb.connect(str(path)) as connection:
            connection.register("given", pa.table(held))
            connection.execute("CREATE TABLE purchases_quux AS SELECT * FROM given")

    def _train(self) -> None:
        with hanse.connect(self.workspace, federation=self.fleet.coordinator) as session:
            session.sql("".join(f"CREATE SILO {name} OPTIONS (subject = '{name}');" for name in SIZES))
            self.shown: list[Any] = session.sql("EXPLAIN EGRESS " + statement("model_quux", "one_shot")).fetchall()
            for model, strategy in (("model_quux", "one_shot"), ("model_quux_rounds", "rounds")):
                session.sql(statement(model, strategy))
                self.shown += session.sql(f"SELECT * FROM federated_evaluate({model}, 1)").fetchall()
                self.shown += session.sql(f"SHOW EGRESS FOR MODEL {model}").fetchall()
                self.shown += session.sql(f"SELECT * FROM model_centroids({model}, 1)").fetchall()
                self.shown += session.sql(f"DESCRIBE MODEL {model}").fetchall()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    nats_server()
    return Trained(tmp_path_factory.mktemp("marked"))


# -- the search can find ----------------------------------------------------------------------

NUMBER, TEXT = -1234.5678901234567, "shopper-0123456789abcdef"
WRITTEN = {
    "little endian": struct.pack("<d", NUMBER),
    "big endian": struct.pack(">d", NUMBER),
    "msgpack": msgspec.msgpack.encode({"sum": [1.0, NUMBER]}),
    "json": json.dumps({"sum": [1.0, NUMBER]}).encode(),
    "fifteen digits": b"%.15g" % NUMBER,
    "exponent": b"%.14e" % NUMBER,
    "csv": b"a,b\n7,%.10f\n" % NUMBER,
    "hex": struct.pack("<d", NUMBER).hex().encode(),
    "base64": base64.b64encode(b"a" + struct.pack("<d", NUMBER) + b"bc"),
    "base64 for urls": base64.urlsafe_b64encode(b"ab" + struct.pack(">d", NUMBER) + b"c"),
    "base64 of json": base64.b64encode(json.dumps({"sum": [1.0, NUMBER]}).encode()),
    "array": np.array([0.0, NUMBER, 1.0]).tobytes(),
    "text": TEXT.encode(),
    "text in json": json.dumps({"customer": TEXT}).encode(),
    "text in msgpack": msgspec.msgpack.encode([TEXT]),
    "text in base64": base64.b64encode(f"id={TEXT};".encode()),
    "text in hex": TEXT.encode().hex().encode(),
    "text in utf-16": TEXT.encode("utf-16-le"),
}


@pytest.mark.parametrize("form", WRITTEN)
def test_a_planted_marker_is_found_wherever_it_stands(form: str) -> None:
    others = np.random.default_rng(1).normal(size=400)
    markers = Markers([NUMBER, *others], [TEXT, "another-0123456789"])
    noise = np.random.default_rng(2).bytes(3 << 20)
    for at in (0, 1, 7, (1 << 20) - 3, len(noise)):  # also where two blocks of the search meet
        data = noise[:at] + WRITTEN[form] + noise[at:]
        assert any(name.startswith((repr(NUMBER), TEXT)) for name in markers.found(data)), at
    assert markers.found(noise) == []
    assert markers.found(b"") == []


def test_a_number_in_decoded_data_is_found_to_the_last_bit() -> None:
    markers = Markers([NUMBER], [TEXT])
    assert markers.among({"a": [[1.0, 2], {"b": NUMBER}], "c": None, "d": True}) == [repr(NUMBER)]
    assert markers.among([{"sum": -NUMBER}])
    assert markers.among({"x": f"... {TEXT} ..."})
    assert markers.among([np.nextafter(NUMBER, 0.0), 3, "x"]) == []


def test_every_form_is_searched_for() -> None:
    for forms in (forms_of_number(NUMBER), forms_of_text(TEXT)):
        assert all(len(data) >= 8 for _, data in forms)


# -- what was seen ----------------------------------------------------------------------------


def test_the_coordinator_got_no_value_of_a_row(trained: Trained) -> None:
    with closing(sqlite3.connect(trained.workspace / "registry.sqlite")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        cells = [cell for table in tables for row in connection.execute(f'SELECT * FROM "{table}"') for cell in row]
        replies = [
            json.loads(reply) for (reply,) in connection.execute("SELECT reply FROM hanse_federated_reply") if reply
        ]
    kinds = {frozenset(reply["statistics"]) for reply in replies if reply.get("statistics")}
    assert frozenset({"count", "sum", "square"}) in kinds
    assert frozenset({"silhouette", "inertia", "distance"}) in kinds
    assert len(replies) > 40
    assert [found for reply in replies for found in trained.markers.among(reply)] == []
    for cell in cells:
        data = cell if isinstance(cell, bytes) else str(cell).encode()
        assert trained.markers.found(data) == []
    for path in trained.workspace.rglob("*"):
        if path.is_file():
            assert trained.markers.found(path.read_bytes()) == [], path
    assert trained.markers.among([[str(cell) for cell in row] for row in trained.shown]) == []


@pytest.mark.parametrize("silo", SIZES)
def test_a_ledger_says_that_no_value_of_a_row_left(trained: Trained, silo: str) -> None:
    path = trained.fleet.ledger(silo)
    entries = entries_of(path)
    assert {"describe", "moments", "summarize", "observe", "evaluate", "install", "finish"} <= {e.kind for e in entries}
    for entry in entries:
        assert trained.markers.among(json.loads(entry.payload)) == []
    assert trained.markers.found(path.read_bytes()) == []
    for process in trained.fleet.served:
        assert trained.markers.found((process.log.text + process.out.text).encode()) == []


@pytest.mark.parametrize("silo", SIZES)
def test_a_model_that_was_installed_holds_no_value_of_a_row(trained: Trained, silo: str) -> None:
    path = trained.fleet.league / silo / "registry.sqlite"
    assert trained.markers.found(path.read_bytes()) == []
    with hanse.connect(registry=path) as store:
        assert {row[1] for row in store.sql("SHOW MODELS").fetchall()} == {
            "league.model_quux",
            "league.model_quux_rounds",
        }
        described = store.sql("DESCRIBE MODEL league.model_quux").fetchall()
        assert trained.markers.among([[str(cell) for cell in row] for row in described]) == []


def test_the_brokers_storage_holds_every_message_and_nothing_readable(trained: Trained) -> None:
    subjects = [subject for subject, _ in trained.kept]
    for silo in SIZES:
        assert subjects.count(f"hanse.task.{silo}") > 15
        assert sum(subject.startswith(f"hanse.reply.{silo}.") for subject in subjects) > 15
    stored = b"\n".join(trained.files.values())
    assert len(stored) > sum(len(data) for _, data in trained.kept)
    assert trained.planted in stored, "what is sent in clear lies in clear in the storage: the search sees it"
    assert trained.markers.found(stored) == []
    messages = [data for subject, data in trained.kept if subject != "hanse.planted"]
    assert readable(b"\n".join([stored, *messages])) == []


def test_the_brokers_monitoring_and_log_tell_nothing_of_it(trained: Trained) -> None:
    assert b'"server_id"' in trained.pages["varz"]
    assert b"hanse.task.harbour" in trained.pages["subsz?subs=1"]
    assert b'"everything"' in trained.pages["jsz?accounts=true&streams=true&consumers=true&config=true"]
    log = trained.fleet.broker.log.text.encode()
    assert b"MSG_PAYLOAD" in log
    assert trained.planted in log, "what is sent in clear is logged in clear: the search sees it"
    for name, seen in {**trained.pages, "log": log}.items():
        assert trained.markers.found(seen) == [], name
        assert readable(seen) == [], name


def readable(data: bytes) -> list[str]:
    """Names of features, relations, models and protocol in bytes: in clear, in hex or in base64."""
    texts = [name for name in READABLE if len(name) >= 8]
    return Markers([], texts).found(data)


def test_names_would_be_found_too() -> None:
    assert readable(b"... " + COLUMNS[0].encode() + b" ...") != []
    assert readable(base64.b64encode(b'{"relation":"purchases_quux"}')) != []


def test_the_rows_themselves_are_found(trained: Trained) -> None:
    for name, rows in trained.rows.items():
        assert len(trained.markers.found(rows.tobytes())) == rows.size
        assert len(trained.markers.found("\n".join(trained.ids[name] + trained.mail[name]).encode())) == 2 * len(rows)
