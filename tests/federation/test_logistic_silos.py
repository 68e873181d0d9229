"""logistic_reg over silos: `rounds` is the pooled fit, `one_shot` the average of local ones; gate, measures, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from silo_support import Talk, codes, fill
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.metrics import accuracy_score, precision_score, recall_score, roc_auc_score

import hanse
from hanse.errors import BindError, FederationError, UsageError
from hanse.federation.coordinator import Coordinator
from hanse.federation.policy import Policy
from hanse.federation.preview import preview
from hanse.models.codec import state_to_plain
from hanse.models.logistic_regression import LogisticRegression

COLUMNS = ("value", "orders", "gone")
POLICY = """
min_changed_customers = 0
exact_rounds = true
cells_per_day = 100000
runs_per_day = 1000
dominance_percent = 60
install = "auto"
"""


def customers(count: int, seed: int, share: float = -0.5) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 3)) * [30.0, 4.0, 60.0] + [1e6, 9.0, 120.0]
    odds = (rows - [1e6, 9.0, 120.0]) @ [0.02, -0.3, 0.01] + share
    return rows, (random.uniform(size=count) < 1 / (1 + np.exp(-odds))).astype(np.int64)


class League:
    """A session and silos in its process, each with a database and a policy of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, tuple[Any, Any]] = {}
        self.session = hanse.connect(folder / "workspace")

    def add(self, name: str, rows: Any, labels: Any, policy: str = POLICY, **columns: Any) -> None:
        """A silo that publishes these rows and labels."""
        folder = self.folder / name
        folder.mkdir()
        ids = [f"{name}{i}" for i in range(len(rows))]
        table = pa.table({"customer_id": ids, **dict(zip(COLUMNS, rows.T, strict=True)), "churned": labels, **columns})
        with duckdb.connect(str(folder / "shop.duckdb")) as connection:
            connection.register("given", table)
            connection.execute("CREATE TABLE features AS SELECT * FROM given")
        (folder / "silo.toml").write_text(
            f'name = "{name}"\ndatabase = "shop.duckdb"\n[publish.features]\nrelation = "features"\n'
            f'customer = "customer_id"\ncolumns = ["value", "orders", "gone", "churned"]\n[policy]\n{policy}'
        )
        self.session.sql(
            f"CREATE SILO {name} OPTIONS (database = '{folder}/shop.duckdb', config = '{folder}/silo.toml')"
        )
        self.rows[name] = rows, labels

    def train(self, options: str = "", model: str = "churn", transform: bool = False, what: str = "CREATE") -> Any:
        steps = "TRANSFORM (vector_assembler(array(value, orders, gone)) a, standard_scaler(a, true, true) b)"
        return self.session.sql(
            f"{what} FEDERATED MODEL {model} {steps if transform else ''} OPTIONS (MODEL_TYPE = 'logistic_reg', "
            f"LABEL = 'churned', MIN_CUSTOMERS = 10{options}) OVER SILOS ({', '.join(self.rows)}) "
            "AS SELECT value, orders, gone, churned FROM features"
        )

    def pooled(self, *names: str) -> tuple[Any, Any]:
        parts = [self.rows[name] for name in names or self.rows]
        return np.concatenate([rows for rows, _ in parts]), np.concatenate([labels for _, labels in parts])

    def coefficients(self, model: str = "churn") -> tuple[Any, float]:
        told = dict(self.session.sql(f"DESCRIBE MODEL {model}").fetchall())
        return np.array([float(told[f"coefficient {c}"]) for c in COLUMNS]), float(told["intercept"])


@pytest.fixture
def league(tmp_path: Path) -> Iterator[League]:
    made = League(tmp_path)
    yield made
    made.session.close()


def three(league: League) -> None:
    for number, size in enumerate((200, 120, 400)):
        league.add("abc"[number], *customers(size, number, share=-1.0 + number / 2))


def reference(rows: Any, labels: Any, strength: float) -> tuple[Any, float]:
    centre = rows.mean(axis=0)
    model = Reference(C=1 / (strength * len(rows)) if strength else np.inf, solver="newton-cholesky", tol=1e-10)
    model.fit(rows - centre, labels)
    return model.coef_[0], float(model.intercept_[0] - model.coef_[0] @ centre)


@pytest.mark.parametrize("strength", [0.0, 0.01])
@pytest.mark.parametrize("transform", [False, True])
def test_rounds_are_the_pooled_fit(league: League, strength: float, transform: bool) -> None:
    three(league)
    made = league.train(f", STRATEGY = 'rounds', REG_PARAM = {strength}", transform=transform)
    assert not made.warnings
    rows, labels = league.pooled()
    scale = rows.std(axis=0, ddof=1) if transform else np.ones(3)
    expected, intercept = reference(rows / scale, labels, strength)
    found, other = league.coefficients()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    if not transform:
        assert other == pytest.approx(intercept, rel=1e-6)
    session = league.session
    session.register("pool", pa.table({**dict(zip(COLUMNS, rows.T, strict=True)), "churned": labels}))
    steps = "TRANSFORM (vector_assembler(array(value, orders, gone)) a, standard_scaler(a, true, true) b)"
    session.sql(
        f"CREATE MODEL pooled {steps if transform else ''} OPTIONS (MODEL_TYPE = 'logistic_reg', LABEL = 'churned', "
        f"REG_PARAM = {strength}) AS SELECT value, orders, gone, churned FROM pool"
    )
    asked = "SELECT probability FROM model_predict({}, 1, SELECT * FROM pool) ORDER BY value"
    ours, theirs = ([p for (p,) in session.sql(asked.format(m)).fetchall()] for m in ("churn", "pooled"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize("transform", [False, True])
def test_one_shot_is_the_average_of_local_coefficients(league: League, transform: bool) -> None:
    three(league)
    assert not league.train(", L2 = 0.01", transform=transform).warnings
    pooled, _ = league.pooled()
    mean, scale = (pooled.mean(axis=0), pooled.std(axis=0, ddof=1)) if transform else (np.zeros(3), np.ones(3))
    fits = [reference((rows - mean) / scale, labels, 0.01) for rows, labels in league.rows.values()]
    sizes = [len(labels) for _, labels in league.rows.values()]
    found, intercept = league.coefficients()
    np.testing.assert_allclose(found, np.average([c for c, _ in fits], axis=0, weights=sizes), rtol=1e-6)
    assert intercept == pytest.approx(np.average([i for _, i in fits], weights=sizes), rel=1e-6)
    told = dict(league.session.sql("DESCRIBE MODEL churn").fetchall())
    assert told["rows"] == "720"


@pytest.mark.parametrize("strategy", ["one_shot", "rounds"])
@pytest.mark.parametrize(("size", "positive"), [(9, 4), (200, 9), (200, 191), (200, 0), (200, 200)])
def test_a_silo_of_few_customers_or_few_of_a_label_takes_no_part(
    league: League, strategy: str, size: int, positive: int
) -> None:
    three(league)
    rows, _ = customers(size, 7)
    league.add("few", rows, (np.arange(size) < positive).astype(np.int64))
    made = league.train(f", QUORUM = 3, REG_PARAM = 0.01, STRATEGY = '{strategy}'")
    (warning,) = [w for w in made.warnings if "took no part" in w]
    assert warning.startswith("silo few took no part: refused: fewer customers than min_customers")
    assert not [digit for digit in warning if digit.isdigit()]
    expected, _ = reference(*league.pooled("a", "b", "c"), 0.01)
    if strategy == "rounds":
        np.testing.assert_allclose(league.coefficients()[0], expected, rtol=1e-6)


def test_labels_other_than_0_and_1_are_refused_without_their_values(league: League) -> None:
    three(league)
    rows, labels = customers(100, 5)
    league.add("odd", rows, labels * 7)
    made = league.train(", QUORUM = 3")
    (warning,) = [w for w in made.warnings if "took no part" in w]
    assert warning == "silo odd took no part: failed: column churned of features holds labels other than 0 and 1"


def test_a_silo_whose_labels_are_separated_sends_no_coefficients(league: League) -> None:
    three(league)
    rows, _ = customers(100, 5)
    league.add("sure", rows, (rows[:, 2] > 120).astype(np.int64))
    made = league.train(", QUORUM = 3")
    assert [w for w in made.warnings if "silo sure took no part: failed: a local model has no finite optimum" in w]
    assert not league.train(", L2 = 0.01", "with_penalty").warnings


def test_a_dominating_customer_sends_nothing(league: League) -> None:
    three(league)
    rows, labels = customers(100, 5)
    rows[0, 0] += 1e5
    league.add("whale", rows, labels)
    made = league.train(", QUORUM = 3")
    assert [w for w in made.warnings if "silo whale took no part: refused: one customer owes more" in w]


def test_bounds_hold_an_extreme_customer(league: League) -> None:
    three(league)
    rows, labels = customers(100, 5)
    rows[0, 0] += 1e5
    league.add("whale", rows, labels)
    for name in league.rows:
        toml = league.folder / name / "silo.toml"
        published = '"churned"]\nbounds = { value = [999900, 1000100] }'
        toml.write_text(toml.read_text().replace('"churned"]', published))
    assert not league.train(", STRATEGY = 'rounds'").warnings
    rows, labels = league.pooled()
    expected, _ = reference(np.column_stack([rows[:, 0].clip(999900, 1000100), rows[:, 1:]]), labels, 0.0)
    np.testing.assert_allclose(league.coefficients()[0], expected, rtol=1e-6)


def test_a_label_that_is_not_published(league: League) -> None:
    three(league)
    toml = league.folder / "b" / "silo.toml"
    toml.write_text(toml.read_text().replace(', "churned"]', "]"))
    with pytest.raises(FederationError, match="silo b does not publish column churned of features"):
        league.train()
    assert league.session.sql("SHOW MODELS").fetchall() == []


def test_a_policy_without_the_model_type(league: League) -> None:
    three(league)
    league.add("strict", *customers(100, 5), policy=POLICY + 'model_types = ["kmeans"]\n')
    made = league.train(", QUORUM = 3")
    assert [w for w in made.warnings if "silo strict took no part: refused: model type logistic_reg" in w]


def test_statements_that_do_not_fit(league: League) -> None:
    three(league)
    for options, message in (
        (
            ", STRATEGY = 'article'",
            "STRATEGY = 'article' with MODEL_TYPE = 'logistic_reg' .*use STRATEGY = 'one_shot' or 'rounds'",
        ),
        (", LOCAL_CLUSTERS = 4", "LOCAL_CLUSTERS with MODEL_TYPE = 'logistic_reg'"),
        (", WEIGHT_COL = 'value'", "WEIGHT_COL over silos"),
    ):
        with pytest.raises(BindError, match=message):
            league.train(options)
    over = "OVER SILOS (a, b, c) AS SELECT value, churned FROM features"
    for text, message in (
        ("OPTIONS (MODEL_TYPE = 'logistic_reg')", "no LABEL"),
        ("OPTIONS (MODEL_TYPE = 'logistic_reg', LABEL = 'churn')", "LABEL = 'churn' is not a column of the SELECT"),
        (
            "TRANSFORM (vector_assembler(array(value, churned)) f) "
            "OPTIONS (MODEL_TYPE = 'logistic_reg', LABEL = 'churned')",
            "vector_assembler reads churned, which is the LABEL",
        ),
    ):
        with pytest.raises(BindError, match=message):
            league.session.sql(f"CREATE FEDERATED MODEL m {text} {over}")
    with pytest.raises(BindError, match="no features"):
        league.session.sql(
            "CREATE FEDERATED MODEL m OPTIONS (MODEL_TYPE = 'logistic_reg', LABEL = 'churned') "
            "OVER SILOS (a, b, c) AS SELECT churned FROM features"
        )


@pytest.mark.parametrize(
    ("options", "exchange", "statistics"),
    [
        ("", "fit", "count (), coefficients (3,), intercept ()"),
        (
            ", STRATEGY = 'rounds'",
            "observe",
            "first count (), weight (), positive (), sum (3,); then each round count (), weight (), loss (), "
            "gradient (4,), hessian (10,)",
        ),
    ],
)
def test_what_leaves_is_told_before_and_afterwards(
    league: League, options: str, exchange: str, statistics: str
) -> None:
    three(league)
    told = league.train(options, what="EXPLAIN EGRESS CREATE").fetchall()
    assert [(silo, kind, shapes) for silo, kind, shapes, *_ in told] == [(s, exchange, statistics) for s in "abc"]
    league.train(options)
    rows = league.session.sql("SHOW EGRESS FOR MODEL churn").arrow().to_pylist()
    left = {row["statistics"] for row in rows if row["exchange"] == exchange}
    for shapes in left:
        for part in shapes.split(", ") if shapes else []:
            assert part.split(" ")[0] in statistics


def test_what_leaves_has_the_form_that_was_told(league: League) -> None:
    three(league)
    league.train(", STRATEGY = 'rounds'")
    rows = league.session.sql("SHOW EGRESS FOR MODEL churn").arrow().to_pylist()
    shown = {row["statistics"] for row in rows if row["exchange"] == "observe"}
    assert len(shown) == 2
    assert any("gradient" in text and "hessian" in text and "loss" in text for text in shown)


def test_a_store_predicts_and_evaluates_with_the_installed_model(league: League) -> None:
    three(league)
    league.train(", STRATEGY = 'rounds'")
    from hanse.federation.config import SiloConfig
    from hanse.registry import Registry

    config = SiloConfig.load(league.folder / "a" / "silo.toml")
    with Registry.open(config.registry) as registry:
        _, artifact = registry.load("league.churn")
    assert artifact.model_type == "logistic_reg"
    assert artifact.training == {}
    league.session.sql(f"EXPORT MODEL churn TO '{league.folder}/churn.json'")
    league.session.sql(f"IMPORT MODEL again FROM '{league.folder}/churn.json'")
    np.testing.assert_array_equal(league.coefficients("again")[0], league.coefficients()[0])


def test_models_of_a_distribution_have_rounds_and_measures(league: League) -> None:
    kind = "mahalanobis"
    for name in "abc":
        league.add(name, *customers(300, ord(name)), policy=POLICY + f'model_types = ["{kind}"]\nmax_clusters = 64\n')
    text = (
        f"FEDERATED MODEL odd OPTIONS (MODEL_TYPE = '{kind}', TRIM = 0{{}}) OVER SILOS (a, b, c) "
        "AS SELECT value, orders, gone FROM features"
    )
    with pytest.raises(BindError, match=f"STRATEGY = 'one_shot' with MODEL_TYPE = '{kind}' .*STRATEGY = 'rounds'"):
        league.session.sql("CREATE " + text.format(""))
    told = league.session.sql("EXPLAIN EGRESS CREATE " + text.format(", STRATEGY = 'rounds'")).fetchall()
    assert [row[1] for row in told] == ["observe", "evaluate"] * 3
    league.session.sql("CREATE " + text.format(", STRATEGY = 'rounds'"))
    found = league.session.sql("SELECT * FROM federated_evaluate(odd, 1)").arrow().to_pylist()
    for row in found:
        rows, _ = league.rows[row["silo"]]
        league.session.register("own", pa.table(dict(zip(COLUMNS, rows.T, strict=True))))
        (expected,) = league.session.sql("SELECT * FROM model_evaluate(odd, 1, SELECT * FROM own)").arrow().to_pylist()
        assert {k: row[k] for k in expected} == pytest.approx(expected, rel=1e-9)


class _KilledError(BaseException):
    """Stands for a coordinator that dies between two rounds."""


@pytest.mark.parametrize("round_", [1, 2, 5])
def test_resume_ends_with_the_same_model(league: League, monkeypatch: pytest.MonkeyPatch, round_: int) -> None:
    three(league)
    whole = Coordinator.exchange

    def dying(self: Coordinator, kind: Any, **fields: Any) -> Any:
        if self.round == round_:
            raise _KilledError
        return whole(self, kind, **fields)

    with monkeypatch.context() as patch:
        patch.setattr(Coordinator, "exchange", dying)
        with pytest.raises(_KilledError):
            league.train(", STRATEGY = 'rounds'", "cut")
    league.session.sql("RESUME MODEL cut")
    league.train(", STRATEGY = 'rounds'", "whole")
    np.testing.assert_array_equal(league.coefficients("cut")[0], league.coefficients("whole")[0])


# -- a silo alone -----------------------------------------------------------------------------

LOGISTIC = {"model_type": "logistic_reg", "options": {"label": "churned"}, "features": ("x", "y")}
OPEN = Policy(exact_rounds=True, strategies=("one_shot", "rounds"), min_changed_customers=0, cells_per_day=10_000)


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    rows, labels = customers(80, 3)
    with Talk(tmp_path, rows[:, :2], OPEN, churned=labels) as made:
        yield made


def state(**change: Any) -> dict[str, Any]:
    began = state_to_plain(LogisticRegression().start(("x", "y")))
    return {**began, "phase": "step", "origin": [1e6, 9.0], **change}


@pytest.mark.parametrize(
    "change",
    [
        {"tried": [0.0, 0.0]},
        {"tried": 1.0},
        {"tried": [0.0, 0.0, float("1e999")]},
        {"origin": [1.0]},
        {"features": ["x"]},
        {"phase": "nonsense"},
        {"sql": "SELECT 1"},
    ],
)
def test_a_state_that_does_not_fit_is_refused(talk: Talk, change: dict[str, Any]) -> None:
    assert talk.ask("observe", strategy="rounds", state=state(), **LOGISTIC).status == "ok"
    reply = talk.ask("observe", strategy="rounds", state=state(**change), **LOGISTIC)
    assert (reply.status, codes(reply)) == ("refused", {"protocol"})


def test_coefficients_that_overflow_are_not_answered(talk: Talk) -> None:
    huge = state(tried=[0.0, 1e308, -1e308])
    reply = talk.ask("observe", strategy="rounds", state=huge, **LOGISTIC)
    assert reply.status != "ok"
    assert reply.statistics == {}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"options": {}}, "protocol"),
        ({"options": {"label": "x"}}, "protocol"),
        ({"options": {"label": "nothing"}}, "schema"),
        ({"options": {"label": "churned", "weight_col": "x"}}, "protocol"),
        ({"options": {"label": "churned", "elasticnetparam": 0.5}}, "protocol"),
        ({"model_type": "kmeans", "options": {}}, "protocol"),
        ({"strategy": "rounds"}, "policy"),
        ({"features": ()}, "protocol"),
    ],
)
def test_a_task_for_coefficients_that_does_not_fit(talk: Talk, fields: dict[str, Any], code: str) -> None:
    assert talk.ask("fit", **LOGISTIC).status == "ok"
    reply = talk.ask("fit", **{**LOGISTIC, **fields})
    assert (reply.status, codes(reply)) == ("refused", {code})


def test_a_preview_judges_the_coefficients(talk: Talk, tmp_path: Path) -> None:
    (found,) = preview(talk.silo, None, 3, "churned")
    assert found.verdicts["fit"] == "leaves"
    fill(talk.database, customers(80, 3)[0][:, :2], churned=np.arange(80) < 4)
    (found,) = preview(talk.silo, None, 3, "churned")
    assert found.verdicts["fit"].startswith("small: fewer customers than min_customers have one of the labels")
    with pytest.raises(UsageError, match="--label churn: not a column of features"):
        list(preview(talk.silo, None, 3, "churn"))


@pytest.mark.parametrize(
    "edges", [None, [], [1.0], [0.0, 0.0], [1.0, 0.0], [0.0, float("inf")], ["0"], [True, 0.0], [0.0, *range(1, 65)]]
)
def test_edges_that_are_none_are_refused(talk: Talk, edges: Any) -> None:
    model = LogisticRegression(label="churned").averaged(("x", "y"), [(1.0, np.array([0.01, -0.3]), -1e4)])
    artifact = {
        "schema_version": 1,
        "model_type": "logistic_reg",
        "options": {},
        "transforms": [],
        "features": ["x", "y"],
        "model": model.to_json(),
        "training": {},
        "source_sql": "",
        "row_count": 0,
        "created_at": "2026-01-01T00:00:00+00:00",
        "created_by": "nobody",
        "hanse_version": "0",
        "fields": ["x", "y"],
    }
    asked = {"artifact": artifact, "phase": 2, "edges": [0.0]}
    assert talk.ask("evaluate", payload=asked, **LOGISTIC).status == "ok"
    reply = talk.ask("evaluate", payload={**asked, "edges": edges}, **LOGISTIC)
    assert (reply.status, codes(reply)) == ("refused", {"protocol"})


# -- evaluation -------------------------------------------------------------------------------


def evaluated(league: League, model: str = "churn") -> tuple[dict[str, dict[str, Any]], list[str]]:
    result = league.session.sql(f"SELECT * FROM federated_evaluate({model}, 1)")
    assert result.columns == ["silo", "auc_roc", "accuracy", "precision", "recall"]
    return {row.pop("silo"): row for row in result.arrow().to_pylist()}, result.warnings


def truth(league: League, name: str, model: str = "churn") -> dict[str, float]:
    """What scikit-learn says of a silo's own rows."""
    rows, labels = league.rows[name]
    coefficients, intercept = league.coefficients(model)
    odds = rows @ coefficients + intercept
    return {
        "auc_roc": float(roc_auc_score(labels, odds)),
        "accuracy": float(accuracy_score(labels, odds > 0)),
        "precision": float(precision_score(labels, odds > 0, zero_division=0)),
        "recall": float(recall_score(labels, odds > 0)),
    }


def test_measures_of_large_silos_are_those_of_their_rows(league: League) -> None:
    for number, size in enumerate((20_000, 3_000)):
        league.add("ab"[number], *customers(size, number))
    league.train(", STRATEGY = 'rounds'")
    found, warnings = evaluated(league)
    assert not warnings
    for name in "ab":
        expected = truth(league, name)
        assert found[name]["auc_roc"] == pytest.approx(expected.pop("auc_roc"), abs=0.003)
        assert {k: found[name][k] for k in expected} == pytest.approx(expected, abs=1e-12)


def test_measures_of_small_silos_are_near_or_withheld(league: League) -> None:
    three(league)
    league.train(", L2 = 0.01")
    found, _ = evaluated(league)
    for name in "abc":
        expected = truth(league, name)
        assert found[name]["auc_roc"] == pytest.approx(expected.pop("auc_roc"), abs=0.05)
        for measure, value in expected.items():
            assert found[name][measure] in (None, pytest.approx(value, abs=1e-12))


def test_no_cell_of_a_histogram_is_small(league: League) -> None:
    import msgspec

    three(league)
    rows, _ = customers(60, 9)
    league.add("few", rows, (np.arange(60) < 12).astype(np.int64))
    league.train(", L2 = 0.01")
    found, warnings = evaluated(league)
    assert [w for w in warnings if w.startswith("silo few released no ")]
    assert None in found["few"].values()
    seen = 0
    for name in (*"abc", "few"):
        for line in (league.folder / name).rglob("*ledger*"):
            if not line.is_file():
                continue
            for text in line.read_bytes().splitlines():
                if b'"evaluate"' not in text:
                    continue
                payload = msgspec.json.decode(msgspec.json.decode(text)["payload"])
                count = np.array(payload["statistics"].get("count", 0.0))
                if count.ndim == 2:
                    seen += 1
                    assert np.all((count == 0) | (count >= 10))
    assert seen == 4


def test_a_silo_without_enough_of_a_label_has_no_measures(league: League) -> None:
    three(league)
    rows, _ = customers(100, 5)
    league.add("few", rows, (np.arange(100) < 4).astype(np.int64))
    league.train(", QUORUM = 3, L2 = 0.01")
    found, _ = evaluated(league)
    assert set(found) == set("abc")
