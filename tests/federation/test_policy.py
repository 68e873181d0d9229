"""silo.toml: read strictly, with a floor; what the owner is told about a policy."""

from __future__ import annotations

from pathlib import Path

import pytest
from silo_support import silo_toml, task

from hanse.errors import UsageError
from hanse.federation.config import SiloConfig
from hanse.federation.database import Database
from hanse.federation.policy import Policy
from hanse.federation.setup_texts import silo_toml as generated

WHOLE = """
name = "comfort_wear"
database = "comfort_wear.duckdb"
[federation]
server = "tls://127.0.0.1:4222"
coordinators = ["hanse-key:x"]
[publish.customer_features]
relation = "customer_features"
customer = "customer_id"
store = "store_id"
columns = ["avg_order_value", "total_orders"]
bounds = { avg_order_value = [0, 10000] }
[policy]
min_customers = 12
min_changed_customers = 0
dominance_percent = 40
model_types = ["kmeans"]
strategies = ["one_shot", "article", "rounds"]
exact_rounds = true
install = "never"
max_clusters = 8
runs_per_day = 3
cells_per_day = 100
"""


def test_the_whole_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "silo.toml").write_text(WHOLE)
    config = SiloConfig.load(tmp_path / "silo.toml")
    assert config.name == "comfort_wear"
    assert config.database == Database(tmp_path / "comfort_wear.duckdb")
    assert config.ledger == tmp_path / "comfort_wear.ledger"
    assert config.federation == {"server": "tls://127.0.0.1:4222", "coordinators": ["hanse-key:x"]}
    assert config.publish is not None
    published = config.publish["customer_features"]
    assert (published.store, published.customer) == ("store_id", "customer_id")
    assert published.bounds == {"avg_order_value": (0.0, 10000.0)}
    assert config.policy == Policy(
        12, 0, 40.0, ("kmeans",), ("one_shot", "article", "rounds"), True, "never", 8, 3, 100
    )


def test_defaults_are_those_of_the_documentation(tmp_path: Path) -> None:
    policy = SiloConfig.load(silo_toml(tmp_path)).policy
    assert (policy.min_customers, policy.min_changed_customers, policy.dominance_percent) == (10, 10, 50.0)
    assert policy.strategies == ("one_shot",)
    assert (policy.exact_rounds, policy.install, policy.max_clusters) == (False, "ask", 16)
    assert (policy.runs_per_day, policy.cells_per_day) == (20, 1000)
    assert policy.model_types == ("bisecting_kmeans", "kmeans", "gaussian_mixture", "logistic_reg")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("min_customers = 2", r"\[policy\] min_customers = 2: need a whole number of 3 or more"),
        ("min_customers = true", "need a whole number of 3 or more"),
        ("min_custmers = 12", "min_custmers: unknown key: did you mean min_customers"),
        ("dominance_percent = 0", "need a number above 0 up to 100"),
        ("dominance_percent = 101", "need a number above 0 up to 100"),
        ('strategies = ["oneshot"]', "unknown 'oneshot': did you mean one_shot"),
        ('strategies = "one_shot"', "need a list of names"),
        ('strategies = ["rounds"]', "needs exact_rounds = true"),
        ("exact_rounds = 1", "need true or false"),
        ('install = "yes"', "need one of ask, auto, never"),
        ("runs_per_day = -1", "need a whole number of 0 or more"),
        ("cells_per_day = 1.5", "need a whole number of 0 or more"),
        ("snapshot_hours = 0", "need a number above 0"),
    ],
)
def test_an_unfit_policy_is_refused_by_file_key_and_value(tmp_path: Path, policy: str, said: str) -> None:
    path = silo_toml(tmp_path, policy)
    with pytest.raises(UsageError, match=said) as caught:
        SiloConfig.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("publish", "said"),
    [
        ('[publish.f]\ncustomer = "id"\ncolumns = ["x"]', "need either relation or sql"),
        ('[publish.f]\nrelation = "f"\nsql = "f.sql"\ncustomer = "id"\ncolumns = ["x"]', "need either relation or sql"),
        ('[publish.f]\nrelation = "f"\ncolumns = ["x"]', r"\[publish.f\] customer is missing"),
        ('[publish.f]\nrelation = "f"\ncustomer = "id"', "columns = None: need the published features"),
        ('[publish.f]\nrelation = "f"\ncustomer = "id"\ncolumns = ["x", "X"]', "need distinct names"),
        ('[publish.f]\nrelation = "f"\ncustomer = "id"\ncolumns = ["x", "ID"]', "never leaves"),
        ('[publish.f]\nrelation = "f"\ncustomer = "id"\nstore = "s"\ncolumns = ["s"]', "never leaves"),
        ('[publish.f]\nrelation = "f"\ncustomer = "id"\ncolumns = ["x"]\nbounds = { y = [0, 1] }', "not among columns"),
        ('[publish.f]\nrelation = "f"\ncustomer = "id"\ncolumns = ["x"]\nbounds = { x = [1, 1] }', "low below high"),
        ('[publish.f]\nrelation = "f"\ncustomer = "id"\ncolumns = ["x"]\nbounds = { x = [nan, 1] }', "two numbers"),
        ('[publish.f]\nrelation = "f"\ncustomer = "id"\ncolumns = ["x"]\nparams = { a = 1 }', "only sql takes"),
        ('[publish.f]\nsql = "no.sql"\ncustomer = "id"\ncolumns = ["x"]', "no.sql cannot be read"),
        ('[publish.f]\nrelation = "f"\ncustomr = "id"', "did you mean customer"),
        ("[publsh.f]\nrelation = 1", "publsh: unknown key: did you mean publish"),
    ],
)
def test_an_unfit_publication_is_refused(tmp_path: Path, publish: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        SiloConfig.load(silo_toml(tmp_path, publish=publish))


@pytest.mark.parametrize("name", ["a/b", "a.b", "", "ä", "x" * 65, "-a"])
def test_a_name_that_cannot_be_a_subject_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        SiloConfig.load(silo_toml(tmp_path, name=name))


def test_no_file_and_no_toml(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--config names"):
        SiloConfig.load(tmp_path / "silo.toml")
    (tmp_path / "silo.toml").write_text("name = ")
    with pytest.raises(UsageError, match="is not TOML"):
        SiloConfig.load(tmp_path / "silo.toml")


def test_a_generated_file_publishes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "silo.toml"
    path.write_text(generated(path, "a", "tls://127.0.0.1:4222", "hanse-key:x"))
    assert SiloConfig.load(path).publish == {}


def test_the_strictest_minimum_holds_and_never_below_three() -> None:
    assert Policy(min_customers=10).min_customers_for(task("moments", "r", min_customers=25)) == 25
    assert Policy(min_customers=10).min_customers_for(task("moments", "r", min_customers=0)) == 10
    assert Policy(min_customers=1).min_customers_for(task("moments", "r")) == 3


def test_policies_that_differ_have_different_hashes() -> None:
    assert Policy().hash == Policy().hash
    assert Policy().hash != Policy(min_customers=11).hash


def test_plain_words_say_what_a_policy_costs() -> None:
    quiet = " ".join(Policy().explained())
    assert "does not hold against differencing many" in quiet
    assert "This is no anonymisation" in quiet
    assert "exact_rounds" not in quiet
    loud = " ".join(Policy(exact_rounds=True, min_changed_customers=0).explained())
    assert "8 of 57 steps moved exactly one customer" in loud
    assert "differ by exactly that customer" in loud
