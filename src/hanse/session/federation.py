"""Federated statements: silos, models trained over them, and what left them."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hanse import __version__
from hanse.artifact import Artifact, ModelInfo
from hanse.errors import BindError, FederationError, nearest
from hanse.federation.coordinator import Coordinator
from hanse.federation.evaluation import evaluated
from hanse.federation.install import stripped
from hanse.federation.journal import Journal, Run, SiloRecord
from hanse.federation.plan import FederatedOptions, Plan
from hanse.federation.silo import Silo
from hanse.federation.strategies import Federated, train_federated
from hanse.metrics.clustering import ClusteringMetrics
from hanse.models.catalog import estimator_of, for_rounds
from hanse.options import Given, build, describe
from hanse.session.learning import LoadedModel
from hanse.sql import nodes
from hanse.sql.binder import bound_value
from hanse.sql.published import published_relation
from hanse.sql.steps import step_specs
from hanse.transforms.chain import Chain, ChainStep
from hanse.transforms.standard_scaler import StandardScaler
from hanse.transforms.vector_assembler import VectorAssembler
from hanse.transports.base import Transport
from hanse.transports.inprocess import InProcess
from hanse.transports.together import Together
from hanse.types import Parameters, Progress

if TYPE_CHECKING:
    from hanse.session.session import Session

__all__ = ["Federation", "Made"]

_SILO_OPTIONS = ("database", "config", "subject", "store")
_FEDERATED = {key.lower() for key in describe(FederatedOptions)}


@dataclass(frozen=True)
class Made:
    """What a federated training gives the user."""

    info: ModelInfo
    federated: Federated
    warnings: tuple[str, ...]


class Federation:
    """A session's side of the federation: the journal, the silos, the way to them.

    Args:
        session: whose workspace and registry.
        settings: the coordinator's file, for silos over NATS.
    """

    def __init__(self, session: Session, settings: Path | None) -> None:
        self._session = session
        self._settings = settings
        self._journal: Journal | None = None

    @property
    def journal(self) -> Journal:
        """The coordinator's record; opened when it is first needed."""
        if self._journal is None:
            self._journal = Journal(self._session.registry.database)
        return self._journal

    # -- silos --------------------------------------------------------------------------------

    def create_silo(self, statement: nodes.CreateSilo, parameters: Parameters) -> None:
        """Remember a silo; nobody is contacted.

        Raises:
            BindError: an option that a silo does not have, or not one of ``database`` and ``subject``.
        """
        options: dict[str, str] = {}
        for item in statement.options:
            key = item.raw_key.lower()
            if key not in _SILO_OPTIONS:
                raise BindError(f"unknown option {item.raw_key} of a silo", nearest(key, _SILO_OPTIONS), item.position)
            value = bound_value(item.value, parameters)
            if not isinstance(value, str) or not value:
                raise BindError(f"{item.raw_key} = {value!r}", "need a text in quotes", item.value_position)
            options[key] = value
        if ("database" in options) == ("subject" in options):
            cure = "give database = 'file.duckdb' (a store in this process) or subject = 'name' (one that is served)"
            raise BindError(f"silo {statement.name}", cure, statement.name.position)
        self.journal.add_silo(str(statement.name), options)

    @contextlib.contextmanager
    def transport(self, records: Sequence[SiloRecord]) -> Iterator[Transport]:
        """The way to some silos: agents in this process for those with a database, NATS for the others.

        Raises:
            FederationError: a silo is served elsewhere and no coordinator's file was given.
        """
        with contextlib.ExitStack() as stack:
            agents = {}
            served = []
            for record in records:
                if "database" in record.options:
                    agent = stack.enter_context(
                        Silo.embedded(record.options["database"], record.options.get("config"), name=record.name)
                    )
                    agents[silo_id(record)] = agent.answer
                else:
                    served.append(silo_id(record))
            ways: list[Transport] = []
            if agents:
                ways.append(InProcess(agents))
            if served:
                ways.append(self._nats(served))
            together = Together(ways)
            stack.callback(together.close)
            yield together

    def _nats(self, served: Sequence[str]) -> Transport:
        if self._settings is None:
            raise FederationError(
                f"silo{'s'[: len(served) != 1]} {', '.join(served)} answer over a broker: "
                "name the coordinator's file with --federation DIR/coordinator.toml"
            )
        from hanse.transports.nats import Nats
        from hanse.transports.settings import CoordinatorSettings

        settings = CoordinatorSettings.load(self._settings)
        return Nats(settings, subjects={id_: id_.partition("/")[0] for id_ in served})

    # -- training -----------------------------------------------------------------------------

    def plan(self, statement: nodes.CreateFederatedModel, parameters: Parameters) -> tuple[Plan, list[SiloRecord]]:
        """What a statement asks for, and of whom.

        Raises:
            SqlError: names, options or transforms that do not fit; with line and column.
            FederationError: an unknown silo.
        """
        published = published_relation(statement.query)
        records = [self.journal.find_silo(str(name)) for name in statement.silos]
        given = [
            Given(o.key, bound_value(o.value, parameters), o.position, o.value_position) for o in statement.options
        ]
        ours = [g for g in given if g.key.lower() in _FEDERATED]
        options: FederatedOptions = build(FederatedOptions, ours, "a federated model")
        estimator: Any = estimator_of([g for g in given if g not in ours], statement.position)
        if getattr(estimator, "weight_col", None) is not None:
            raise BindError("WEIGHT_COL over silos", "leave it out: a summary weighs what it holds", statement.position)
        if options.quorum > len(records):
            what = f"QUORUM = {options.quorum} of {len(records)} silos"
            raise BindError(what, "need at most as many", statement.position)
        features, scales = _features(statement, parameters, published.columns)
        if options.strategy == "rounds":
            estimator, _ = for_rounds(estimator)
        ids = tuple(silo_id(record) for record in records)
        plan = Plan(
            str(statement.name), published.relation, features, ids, estimator, asdict(estimator), options, scales
        )
        return plan, records

    def create(self, statement: nodes.CreateFederatedModel, parameters: Parameters, progress: Progress | None) -> Made:
        """Train over the silos, register the model, and offer it to them.

        Raises:
            FederationError: silos disagree, or the quorum was missed; nothing was registered.
        """
        name = str(statement.name)
        if statement.mode != "or_replace":
            self._session.registry.reserve(name)
        plan, records = self.plan(statement, parameters)
        used = {k: v for k, v in parameters.items() if f"${k}" in statement.text}
        run = Run(uuid.uuid4().hex, name, statement.text, used, "open", _now())
        self.journal.begin(run)
        return self._train(plan, records, run, statement, progress)

    def resume(self, name: str, progress: Progress | None) -> Made:
        """Go on with a run that was cut off; it ends with the same model as an undisturbed run.

        Raises:
            FederationError: there is no run of that name, or it is done or failed.
        """
        from hanse.sql.parser import parse

        run = self.journal.last_run(name)
        if run is None:
            raise FederationError(f"no run of model {name}: CREATE FEDERATED MODEL {name} ... begins one")
        if run.status == "done":
            raise FederationError(f"the last run of model {name} is done: there is nothing to resume")
        if run.status == "failed":
            raise FederationError(
                f"the last run of model {name} failed, and is over at its silos: CREATE FEDERATED MODEL {name} ... "
                "begins a new one"
            )
        (statement,) = parse(run.statement)
        assert isinstance(statement, nodes.CreateFederatedModel)  # nothing else begins a run
        plan, records = self.plan(statement, run.parameters)
        return self._train(plan, records, run, statement, progress)

    def _train(
        self,
        plan: Plan,
        records: Sequence[SiloRecord],
        run: Run,
        statement: nodes.CreateFederatedModel,
        progress: Progress | None,
    ) -> Made:
        with self.transport(records) as transport:
            coordinator = Coordinator(plan, transport, self.journal, run.run_id, progress)
            try:
                federated = train_federated(coordinator)
            except FederationError:
                self.journal.finish(run.run_id, "failed")
                coordinator.end()
                raise
            artifact = _artifact(plan, federated, statement, coordinator)
            registry = self._session.registry
            replaces = statement.mode == "or_replace"
            info = registry.replace(plan.model, artifact) if replaces else registry.create(plan.model, artifact)
            self.journal.finish(run.run_id, "done")
            warnings = [*_remarks(coordinator), *self._offer(coordinator, info, artifact)]
            coordinator.end()
        return Made(info, federated, tuple(warnings))

    def _offer(self, coordinator: Coordinator, info: ModelInfo, artifact: Artifact) -> Iterator[str]:
        """Offer the finished model to every silo that took part; what is worth telling of it."""
        import msgspec

        lost = dict(coordinator.lost)
        coordinator.plan = replace(coordinator.plan, options=replace(coordinator.plan.options, quorum=1))
        payload = {"name": f"league.{info.name}", "artifact": msgspec.to_builtins(stripped(artifact))}
        with contextlib.suppress(FederationError):
            for silo, reply in coordinator.exchange("install", payload=payload).items():
                if reply.facts.get("pending"):
                    yield f"silo {silo}: the model waits for its owner (hanse silo installs)"
        for silo, why in coordinator.lost.items():
            if silo not in lost:
                yield f"silo {silo} did not take the model over: {why}"

    # -- what leaves --------------------------------------------------------------------------

    def explain(self, statement: nodes.CreateFederatedModel, parameters: Parameters) -> list[list[str]]:
        """What would leave each silo: statistics' names and shapes, and the policy and budget that it tells.

        Nothing is computed over rows: only ``describe`` is asked.
        """
        plan, records = self.plan(statement, parameters)
        run = Run(uuid.uuid4().hex, f"explain egress of {plan.model}", statement.text, {}, "open", _now())
        self.journal.begin(run)
        with self.transport(records) as transport:
            coordinator = Coordinator(
                replace(plan, options=replace(plan.options, quorum=1)), transport, self.journal, run.run_id
            )
            replies = coordinator.exchange("describe")
            coordinator.end()
        self.journal.finish(run.run_id, "done")
        rows = []
        for silo in plan.silos:
            if silo in coordinator.lost:
                rows.append([silo, "", "", "", coordinator.lost[silo]])
                continue
            policy = replies[silo].facts.get("policy", {})
            told = ", ".join(f"{k} = {v}" for k, v in policy.items() if k != "left")
            left = ", ".join(f"{k}: {v}" for k, v in dict(policy.get("left", {})).items())
            rows += [[silo, kind, shapes, told, left] for kind, shapes in _shapes(plan)]
        return rows

    def evaluate(self, loaded: LoadedModel) -> tuple[dict[str, ClusteringMetrics | None], dict[str, str]]:
        """A federated model's measures, computed at each silo over its own rows; None where a silo released none.

        Returns:
            measures by silo, and why there are none by silo.

        Raises:
            BindError: the model was not trained over silos.
        """
        training = loaded.artifact.training
        if "silos" not in training:
            what = f"model {loaded.info.name} was not trained over silos"
            raise BindError(what, "use model_evaluate over a SELECT")
        known = {silo_id(record): record for record in self.journal.silos()}
        missing = [silo for silo in training["silos"] if silo not in known]
        if missing:
            raise FederationError(
                f"silo {missing[0]} of model {loaded.info.name} is unknown here: CREATE SILO it again"
            )
        options = build(FederatedOptions, [Given(k, v) for k, v in training["federated"].items()], "a federated model")
        given = [Given(k, v) for k, v in loaded.artifact.options.items() if v is not None]
        estimator: Any = estimator_of([Given("MODEL_TYPE", loaded.artifact.model_type), *given], None)
        plan = Plan(
            loaded.info.name,
            training["relation"],
            loaded.artifact.features,
            tuple(training["silos"]),
            estimator,
            asdict(estimator),
            replace(options, quorum=1),
        )
        run = Run(uuid.uuid4().hex, loaded.info.name, "", {}, "done", _now())
        self.journal.begin(run)
        import msgspec

        with self.transport([known[silo] for silo in plan.silos]) as transport:
            coordinator = Coordinator(plan, transport, self.journal, run.run_id)
            clusters = loaded.model.clusters  # type: ignore[attr-defined]  # all model types so far are clusterings
            measures = evaluated(coordinator, msgspec.to_builtins(stripped(loaded.artifact)), clusters)
            return measures, coordinator.lost


def silo_id(record: SiloRecord) -> str:
    """What tasks call a silo: its subject or name, and its store where it has several."""
    options = record.options
    if "database" in options and "config" in options:
        from hanse.federation.config import SiloConfig

        base = SiloConfig.load(options["config"]).name
    else:
        base = options.get("subject", record.name)
    store = options.get("store")
    return base if store is None else f"{base}/{quote(store, safe='')}"


def _features(
    statement: nodes.CreateFederatedModel, parameters: Parameters, columns: Sequence[str]
) -> tuple[tuple[str, ...], tuple[bool, bool] | None]:
    """The features, and whether (withStd, withMean) they are scaled on all silos' moments.

    Raises:
        BindError: a transform that cannot be fitted over silos, or a column that the SELECT does not name.
    """
    steps = step_specs(statement.transform, parameters)
    if not steps:
        return tuple(columns), None
    cure = "over silos write vector_assembler(array(...)) a, and standard_scaler(a, true, true) b after it if you like"
    if steps[0].function != "vector_assembler" or len(steps) > 2:
        raise BindError(f"transform {steps[0].function} over silos", cure, steps[0].position)
    known = {c.lower(): c for c in columns}
    for name in steps[0].inputs:
        if name.lower() not in known:
            raise BindError(f"unknown column {name}", nearest(name, columns), steps[0].position)
    features = tuple(known[name.lower()] for name in steps[0].inputs)
    if len(steps) == 1:
        return features, None
    second = steps[1]
    flags = [*second.parameters, *(True, False)[len(second.parameters) :]]
    fits = second.function == "standard_scaler" and second.inputs[0].lower() == steps[0].alias.lower()
    if not fits or len(flags) != 2 or not all(isinstance(f, bool) for f in flags):
        raise BindError(f"transform {second.function} over silos", cure, second.position)
    return features, (flags[0], flags[1])


def _shapes(plan: Plan) -> Iterator[tuple[str, str]]:
    """For each exchange of a strategy the names and shapes of what leaves a silo."""
    d, c, k = len(plan.features), plan.options.local_clusters, getattr(plan.estimator, "num_clusters", 1)
    if plan.scales is not None:
        yield "moments", f"count (), mean ({d},), m2 ({d},)"
    if plan.strategy == "article":
        yield "summarize", f"mean ({c}, {d})"
    elif plan.strategy == "one_shot":
        yield "summarize", f"count ({c},), sum ({c}, {d}), square ({c}, {d})"
    else:
        triangle = d * (d + 1) // 2
        yield "observe", f"each round up to {k} cells of count, weight, sum ({d},), square, cross ({triangle},)"


def _artifact(
    plan: Plan, federated: Federated, statement: nodes.CreateFederatedModel, coordinator: Coordinator
) -> Artifact:
    steps = [ChainStep("vector_assembler", plan.features, "features", VectorAssembler())]
    scaler = federated.scaler
    if scaler is not None:
        fitted = StandardScaler(
            tuple(scaler.mean.tolist()), tuple(scaler.deviation.tolist()), scaler.with_std, scaler.with_mean
        )
        steps.append(ChainStep("standard_scaler", ("features",), "scaled", fitted))
    model = federated.model.to_json()
    model["features"] = list(plan.features)
    training = {
        "rounds": federated.rounds,
        **{name: float(value) for name, value in federated.numbers.items()},
        "rows": federated.rows,
        "relation": plan.relation,
        "silos": list(coordinator.active),
        "lost": dict(coordinator.lost),
        "reasons": {silo: sorted(codes) for silo, codes in coordinator.reasons.items() if codes},
        "federated": asdict(plan.options),
    }
    return Artifact(
        model_type=plan.estimator.model_type,
        options=dict(plan.estimator_options),
        transforms=tuple(Chain(tuple(steps)).to_json()),  # type: ignore[arg-type]  # objects
        features=plan.features,
        model=model,
        training=training,
        source_sql=statement.query_text,
        row_count=federated.rows,
        created_at=_now(),
        created_by=getpass.getuser(),
        hanse_version=__version__,
        fields=plan.features,
    )


def _remarks(coordinator: Coordinator) -> Iterator[str]:
    for silo, why in coordinator.lost.items():
        yield f"silo {silo} took no part: {why}"
    for silo, codes in coordinator.reasons.items():
        if codes and silo not in coordinator.lost:
            yield f"silo {silo}: its gate answered with {', '.join(sorted(codes))}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
