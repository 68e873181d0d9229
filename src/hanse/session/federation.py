"""A session's side of the federation: the silos it knows, the way to them, and what leaves them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanse.errors import BindError, FederationError, UsageError, nearest
from hanse.federation.checks import policy_of
from hanse.federation.comparison import Contingency, LocalClusters, compared, local_clusters
from hanse.federation.config import SiloConfig
from hanse.federation.coordinator import Coordinator
from hanse.federation.database import DATABASE_KEYS, Database
from hanse.federation.evaluation import evaluated
from hanse.federation.install import stripped
from hanse.federation.journal import Journal, Run, SiloRecord
from hanse.federation.plan import FederatedOptions, Plan
from hanse.federation.silo import Silo
from hanse.metrics.catalog import Metrics
from hanse.models.catalog import estimator_of
from hanse.options import Given, build
from hanse.session.federated_plan import planned, shapes, silo_id
from hanse.session.learning import LoadedModel
from hanse.sql import nodes
from hanse.sql.binder import bound_value
from hanse.transports.base import Transport
from hanse.transports.inprocess import InProcess
from hanse.transports.together import Together
from hanse.types import Parameters

if TYPE_CHECKING:
    from hanse.session.session import Session

__all__ = ["Federation"]

_SILO_OPTIONS = (*DATABASE_KEYS, "config", "subject", "store")


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
        try:
            _check_ways(options)
        except UsageError as error:
            raise BindError(f"silo {statement.name}", str(error), statement.name.position) from None
        _check_name(statement.name, options)
        self.journal.add_silo(str(statement.name), options)

    @contextlib.contextmanager
    def transport(self, records: Sequence[SiloRecord]) -> Iterator[Transport]:
        """The way to some silos: agents in this process for those with rows in reach, NATS for the others.

        Raises:
            FederationError: a silo is served elsewhere and no coordinator's file was given.
            HanseError: an agent cannot be started.
        """
        with contextlib.ExitStack() as stack:
            agents = {}
            served = []
            for record in records:
                if "subject" in record.options:
                    served.append(silo_id(record))
                    continue
                agent = stack.enter_context(Silo(_config(record)))
                agent.prepare()
                agents[silo_id(record)] = agent.answer
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

    # -- what leaves --------------------------------------------------------------------------

    def explain(self, statement: nodes.CreateFederatedModel, parameters: Parameters) -> list[list[str]]:
        """What would leave each silo: statistics' names and shapes, and the policy and budget that it tells.

        Nothing is computed over rows: only ``describe`` is asked.
        """
        plan, records = planned(statement, parameters, self.journal)
        run = Run.new(f"explain egress of {plan.model}", statement.text, {}, "done")
        self.journal.begin(run)
        with self.transport(records) as transport:
            coordinator = Coordinator(
                replace(plan, options=replace(plan.options, quorum=1)), transport, self.journal, run.run_id
            )
            try:
                policies = coordinator.read(coordinator.exchange("describe"), policy_of)
            finally:
                why = dict(coordinator.lost)
                coordinator.end()
        rows = []
        for silo in plan.silos:
            if silo in why:
                rows.append([silo, "", "", "", why[silo]])
                continue
            policy, left = policies[silo]
            told = ", ".join(f"{k} = {v}" for k, v in policy.items())
            budget = ", ".join(f"{k}: {v}" for k, v in left.items())
            rows += [[silo, kind, named, told, budget] for kind, named in shapes(plan)]
        return rows

    def evaluate(self, loaded: LoadedModel) -> tuple[dict[str, Metrics | None], dict[str, str]]:
        """A federated model's measures, computed at each silo over its own rows; None where a silo released none.

        Returns:
            measures by silo, and why there are none by silo.

        Raises:
            BindError: the model was not trained over silos.
        """
        import msgspec

        plan, records, run = self._measuring(loaded, "use model_evaluate over a SELECT")
        with self.transport(records) as transport:
            coordinator = Coordinator(plan, transport, self.journal, run.run_id)
            measures = evaluated(coordinator, msgspec.to_builtins(stripped(loaded.artifact)), loaded.model)
            return measures, coordinator.lost

    def compare(self, loaded: LoadedModel) -> tuple[dict[str, LocalClusters], dict[str, Contingency], dict[str, str]]:
        """Each silo's own clusters against the global ones, counted at the silo, as far as its gate lets them leave.

        Returns:
            the clusters that silos released in training, how their rows fall into the global ones, and why a silo
            released nothing of that.

        Raises:
            BindError: the model was not trained over silos.
        """
        import msgspec

        plan, records, run = self._measuring(loaded, "use match_clusters over a SELECT")
        released = local_clusters(self.journal, loaded.info.name, len(loaded.artifact.features))
        own = {silo: clusters for silo, clusters in released.items() if silo in plan.silos}
        if not own:
            return {}, {}, {}
        clusters = loaded.model.clusters  # type: ignore[attr-defined]  # the caller made sure
        with self.transport(records) as transport:
            coordinator = Coordinator(plan, transport, self.journal, run.run_id)
            found = compared(coordinator, msgspec.to_builtins(stripped(loaded.artifact)), len(clusters), own)
            return own, found, coordinator.lost

    def _measuring(self, loaded: LoadedModel, cure: str) -> tuple[Plan, list[SiloRecord], Run]:
        """How the silos of a finished model are asked about it.

        Raises:
            BindError: it was not trained over silos.
            FederationError: one of them is unknown here.
        """
        training = loaded.artifact.training
        if "silos" not in training:
            what = f"model {loaded.info.name} was not trained over silos"
            raise BindError(what, cure)
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
        run = Run.new(loaded.info.name, "", {}, "done")
        self.journal.begin(run)
        return plan, [known[silo] for silo in plan.silos], run


def _check_ways(options: Mapping[str, str]) -> None:
    """One way to a silo, and no more.

    Raises:
        UsageError: none or both, or keys of a database that do not go together.
    """
    local = [key for key in (*DATABASE_KEYS, "config") if key in options]
    if bool(local) == ("subject" in options):
        raise UsageError(
            "give database = 'file.duckdb', a store on Spark or a config (in this process), or subject = 'name' (one "
            "that is served)"
        )
    if local and local != ["config"]:
        _database(options)


def _check_name(name: nodes.Name, options: Mapping[str, str]) -> None:
    """Refuse a name that no silo can have; with a file of its own, or one that is served, it has another.

    Raises:
        BindError: with the name's place.
    """
    if "subject" in options or "config" in options:
        return
    try:
        SiloConfig.embedded(str(name), _database(options))
    except UsageError as error:
        raise BindError(f"silo {name}", str(error).partition(": ")[2], name.position) from None


def _database(options: Mapping[str, str]) -> Database:
    return Database.of({key: options[key] for key in DATABASE_KEYS if key in options}, Path.cwd())


def _config(record: SiloRecord) -> SiloConfig:
    if "config" in record.options:
        return SiloConfig.load(record.options["config"])
    return SiloConfig.embedded(record.name, _database(record.options))
