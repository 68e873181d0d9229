"""What a report shows, as plain data: no model, no engine, no HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "Agreement",
    "Cell",
    "Cluster",
    "Customer",
    "Feature",
    "Federation",
    "Finding",
    "GlobalCluster",
    "ModelFacts",
    "Part",
    "Picture",
    "Point",
    "Release",
    "Report",
    "SiloFacts",
    "Statement",
]


@dataclass(frozen=True)
class ModelFacts:
    """A model as the report names it.

    Args:
        name: in the registry.
        version: of the registry.
        model_type: such as ``bisecting_kmeans``.
        options: those that trained it.
        transforms: as written, one line for each.
        features: the columns that it was trained on.
        rows: how many rows it was trained on.
        created_at: ISO-8601, UTC.
        created_by: the user who trained it.
        source_sql: the SELECT that it was trained on, as written.
        hanse_version: of the Hanse that trained it.
    """

    name: str
    version: int
    model_type: str
    options: Mapping[str, object]
    transforms: tuple[str, ...]
    features: tuple[str, ...]
    rows: int
    created_at: str
    created_by: str
    source_sql: str
    hanse_version: str


@dataclass(frozen=True)
class Feature:
    """A number that every customer has.

    Args:
        name: the column's.
        mean: over all customers of the part.
        deviation: standard deviation over them; 0 for a constant.
        trained: whether the model was trained on it; others only tell more of a cluster.
    """

    name: str
    mean: float
    deviation: float
    trained: bool = True


@dataclass(frozen=True)
class Cluster:
    """A cluster over the customers of a part.

    Args:
        number: what the model predicts.
        customers: in it.
        share: of all, 0 to 1.
        is_anomaly: whether it is an anomaly cluster as a whole.
        reason: why it is or is not.
        description: what its customers are like, in a sentence.
        means: of each of the part's features, in the same order; None where it holds nobody.
        anomalies: how many of its customers are anomalous.
        silhouette: mean over its customers; None for a lone cluster.
        title: what it is called where it is no cluster of a model but a group: ``ordinary``, ``anomalous``.
    """

    number: int
    customers: int
    share: float
    is_anomaly: bool
    reason: str
    description: str
    means: tuple[float | None, ...]
    anomalies: int
    silhouette: float | None = None
    title: str = ""


@dataclass(frozen=True)
class Customer:
    """An anomalous customer.

    Args:
        name: the customer's id, as text.
        cluster: what the model predicts.
        score: the anomaly score.
        explanation: why, in a sentence.
        values: of each of the part's features, in the same order.
        global_cluster: what the global model predicts, where there is one.
    """

    name: str
    cluster: int
    score: float
    explanation: str
    values: tuple[float | None, ...]
    global_cluster: int | None = None


@dataclass(frozen=True)
class Point:
    """A customer in the picture.

    Args:
        x: along the first axis.
        y: along the second axis.
        cluster: what the model predicts.
        customer: which of the part's anomalous customers it is, from 0; None for one who is not listed.
        is_anomaly: whether the customer is anomalous.
    """

    x: float
    y: float
    cluster: int
    customer: int | None = None
    is_anomaly: bool = False


@dataclass(frozen=True)
class Picture:
    """Customers on a plane: the two directions in which their standardised features differ most.

    Args:
        x_title: which features the first axis is made of.
        y_title: likewise, the second.
        points: a sample of the ordinary customers, and the anomalous ones.
        share: of all variance that the two axes show, 0 to 1.
        sampled: how many customers were drawn of ``customers``.
        customers: in all.
    """

    x_title: str
    y_title: str
    points: tuple[Point, ...]
    share: float
    sampled: int
    customers: int


@dataclass(frozen=True)
class GlobalCluster:
    """A cluster of the global model, as it stands among the customers of a part."""

    number: int
    customers: int
    is_anomaly: bool


@dataclass(frozen=True)
class Cell:
    """How many customers are in a local and in a global cluster at once; None where a gate withheld it."""

    local: int
    global_number: int
    customers: int | None


@dataclass(frozen=True)
class Finding:
    """What became of a cluster in the other model.

    Args:
        local: the local cluster; None where only the global model has one.
        global_number: the global cluster matched to it; None likewise.
        finding: matched, split, merged, missed or global_only.
        jaccard: customers in both over customers in either.
        distance: between the centroids; None where it is unknown.
    """

    local: int | None
    global_number: int | None
    finding: str
    jaccard: float | None = None
    distance: float | None = None


@dataclass(frozen=True)
class Agreement:
    """Local clusters against global ones, over the same customers.

    Args:
        clusters: of the global model.
        cells: those that hold anybody.
        findings: one for each anomaly cluster of either model.
        rand: adjusted Rand index.
        information: adjusted mutual information.
        gained: customers in a global anomaly cluster whom the local model has in an ordinary one; None if unknown.
        lost: the other way round.
    """

    clusters: tuple[GlobalCluster, ...]
    cells: tuple[Cell, ...]
    findings: tuple[Finding, ...]
    rand: float | None = None
    information: float | None = None
    gained: int | None = None
    lost: int | None = None


@dataclass(frozen=True)
class Part:
    """A model over one set of customers: a store's, say.

    Args:
        title: the store's name, or the model's.
        model: which.
        select: whose rows these are, as SQL.
        customers: in all.
        anomalous: how many of them.
        rule: who counts as anomalous, in words.
        features: the trained ones first.
        clusters: by number.
        listed: the most anomalous customers, highest score first.
        picture: None where there are fewer than two features or customers.
        agreement: with the global model; None without one.
        silhouette: over all customers.
        gained: customers whom only the global model has in an anomaly cluster.
        grouped: whether ``clusters`` are ordinary and anomalous customers, of a model that is no clustering.
        id_column: what ``Customer.name`` is; empty where rows are only numbered.
    """

    title: str
    model: ModelFacts
    select: str
    customers: int
    anomalous: int
    rule: str
    features: tuple[Feature, ...]
    clusters: tuple[Cluster, ...]
    listed: tuple[Customer, ...]
    picture: Picture | None = None
    agreement: Agreement | None = None
    silhouette: float | None = None
    id_column: str = ""
    gained: tuple[Customer, ...] = ()
    grouped: bool = False


@dataclass(frozen=True)
class Release:
    """Statistics that a silo sent, of the coordinator's own record."""

    silo: str
    round: int
    kind: str
    statistics: str
    size_bytes: int
    outcome: str
    received_at: str = ""


@dataclass(frozen=True)
class SiloFacts:
    """A silo of a federated training.

    Args:
        name: of the silo.
        took_part: to the end.
        note: why not, or what its gate answered with; empty if there is nothing to say.
        measures: of the global model over the silo's own customers, by name; None where it released none.
        local_clusters: (number, customers, is_anomaly) of its own clusters, of ``compare``.
        agreement: its own clusters against the global ones; None where its gate released none.
    """

    name: str
    took_part: bool
    note: str = ""
    measures: Mapping[str, float | None] | None = None
    local_clusters: tuple[GlobalCluster, ...] = ()
    agreement: Agreement | None = None


@dataclass(frozen=True)
class Federation:
    """How a global model was trained over silos.

    Args:
        strategy: such as ``one_shot``.
        rounds: exchanges with the silos.
        silos: all that were asked.
        convergence: (step, inertia), where the strategy takes several.
        releases: what each silo sent, in order.
        clusters: (number, weight, is_anomaly) of the global model over all silos.
    """

    strategy: str
    rounds: int
    silos: tuple[SiloFacts, ...]
    convergence: tuple[tuple[int, float], ...]
    releases: tuple[Release, ...]
    clusters: tuple[GlobalCluster, ...] = ()


@dataclass(frozen=True)
class Statement:
    """SQL that made something, with a line on what."""

    title: str
    sql: str


@dataclass(frozen=True)
class Report:
    """All of it.

    Args:
        title: the page's.
        created_at: ISO-8601, UTC.
        hanse_version: of the Hanse that wrote it.
        parts: at least one, or a federation.
        against: the global model, where the parts are compared with one.
        federation: how the global model was trained, where it was trained over silos.
        statements: the SQL that gathered the report.
        notes: warnings of these statements.
    """

    title: str
    created_at: str
    hanse_version: str
    parts: tuple[Part, ...]
    against: ModelFacts | None = None
    federation: Federation | None = None
    statements: tuple[Statement, ...] = ()
    notes: tuple[str, ...] = ()
