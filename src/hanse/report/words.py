"""The summary: what a report found, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator

from hanse.report.data import Agreement, Cluster, Federation, Finding, Part, Report
from hanse.report.text import count, listed, percent

__all__ = ["cluster_name", "headline", "part_sentences", "summary"]


def summary(report: Report) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What stands on top of the page: for each part a title, empty where there is but one, and sentences."""
    several = len(report.parts) > 1
    blocks = [(part.title if several else "", part_sentences(part)) for part in report.parts]
    if report.federation is not None:
        blocks.append(("Silos" if blocks else "", tuple(_about_federation(report.federation))))
    return tuple(blocks)


def headline(report: Report) -> str:
    """The one sentence to read if no other is read."""
    customers = sum(part.customers for part in report.parts)
    anomalous = sum(part.anomalous for part in report.parts)
    if not report.parts and report.federation is not None:
        silos = [silo for silo in report.federation.silos if silo.took_part]
        return f"A model of {_many(len(silos), 'silo')}, whose customers stayed where they are."
    if anomalous == 0:
        return f"None of {_many(customers, 'customer')} is anomalous."
    return f"{count(anomalous)} of {_many(customers, 'customer')} stand{'s' * (anomalous == 1)} out."


def part_sentences(part: Part) -> tuple[str, ...]:
    """What stands out among the customers of one part."""
    found = [cluster for cluster in part.clusters if cluster.is_anomaly]
    sentences = [
        f"{count(part.anomalous)} of {_many(part.customers, 'customer')} ({percent(_ratio(part))}) "
        f"{'is' if part.anomalous == 1 else 'are'} anomalous: {part.rule}."
    ]
    if part.grouped:
        found = []
        sentences.append("The model is no clustering: it scores each customer by itself.")
    elif not found:
        sentences.append("No cluster is an anomaly cluster as a whole: anomalous customers are single ones.")
    for cluster in found:
        sentences.append(_about(cluster))
    if part.agreement is not None:
        sentences += _about_agreement(part.agreement)
    return tuple(sentences)


def cluster_name(number: int, is_anomaly: bool, title: str = "") -> str:
    """What pictures and tables call a cluster; its kind does not hang on a colour."""
    name = title or f"{number}"
    return f"{name} ▲" if is_anomaly else name


def _about(cluster: Cluster) -> str:
    description = cluster.description.strip().rstrip(".")
    reason = cluster.reason.strip().rstrip(".")
    text = f"Cluster {cluster.number} is an anomaly cluster of {_many(cluster.customers, 'customer')}"
    text = f"{text}: {description}." if description else f"{text}."
    return f"{text} It {reason}." if reason else text


def _about_agreement(agreement: Agreement) -> Iterator[str]:
    by_kind: dict[str, list[str]] = {}
    for finding in agreement.findings:
        number = finding.global_number if finding.finding == "global_only" else finding.local
        by_kind.setdefault(finding.finding, []).append(str(number))
    verbs = {
        "matched": "finds again",
        "split": "splits",
        "merged": "merges with others",
        "missed": "does not find",
    }
    for kind, verb in verbs.items():
        if numbers := by_kind.get(kind):
            yield f"The global model {verb} anomaly cluster{'s'[: len(numbers) != 1]} {listed(numbers)} of this model."
    if agreement.gained is not None:
        where = by_kind.get("global_only")
        places = f" (global cluster{'s'[: len(where) != 1]} {listed(where)})" if where else ""
        if agreement.gained:
            yield (
                f"What it adds: {_many(agreement.gained, 'customer')} in a global anomaly cluster{places} whom this "
                "model holds to be ordinary."
            )
        else:
            yield "It adds no anomaly to those that this model finds."


def _about_federation(federation: Federation) -> Iterator[str]:
    took = [silo.name for silo in federation.silos if silo.took_part]
    lost = [silo.name for silo in federation.silos if not silo.took_part]
    sent = sum(release.size_bytes for release in federation.releases)
    yield (
        f"The global model was trained over {_many(len(took), 'silo')} ({listed(took)}) with strategy "
        f"{federation.strategy}, in {_many(federation.rounds, 'round')}; together they sent {sent:,} bytes of sums and "
        "counts, and no customer."
    )
    if lost:
        yield f"{listed(lost)} took no part."
    rare = [cluster for cluster in federation.clusters if cluster.is_anomaly]
    for cluster in rare:
        yield f"Global cluster {cluster.number} is an anomaly cluster of {_many(cluster.customers, 'customer')} in all."
    if federation.clusters and not rare:
        yield "No global cluster is an anomaly cluster."
    for silo in federation.silos:
        for finding in silo.agreement.findings if silo.agreement else ():
            yield _at_silo(silo.name, finding)


def _at_silo(silo: str, finding: Finding) -> str:
    if finding.finding == "global_only":
        return (
            f"At {silo}, customers of global anomaly cluster {finding.global_number} are in its own ordinary clusters."
        )
    verb = "finds again" if finding.finding == "matched" else "does not find"
    return f"At {silo}, the global model {verb} its own anomaly cluster {finding.local}."


def _ratio(part: Part) -> float:
    return part.anomalous / part.customers if part.customers else 0.0


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
