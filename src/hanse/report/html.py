"""A report as one HTML file: no network, no library in the page, readable with and without a screen."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from hanse.report import charts, text
from hanse.report.data import Agreement, Cluster, Federation, GlobalCluster, ModelFacts, Part, Report
from hanse.report.drawing import Draughtsman
from hanse.report.specs import Drawing
from hanse.report.words import cluster_name, headline, summary

if TYPE_CHECKING:
    from markupsafe import Markup

    from hanse.types import Progress

__all__ = ["render"]

_TEMPLATES: Final = Path(__file__).parent / "templates"
_MOST_FEATURES: Final = 12
_SQL_LIMIT: Final = 20_000


@dataclass(frozen=True)
class _Figure:
    """A picture, drawn."""

    wide: Markup
    narrow: Markup
    half: bool


class _Kinds(dict[int, bool]):
    """Whether each cluster is an anomaly cluster, and what it is called if not by its number."""

    titles: Mapping[int, str] = MappingProxyType({})


class _Page:
    """What the templates call."""

    def __init__(self, report: Report, progress: Progress | None) -> None:
        self.report = report
        self._draughtsman = Draughtsman()
        self._progress = progress
        self._drawn = 0

    def figure(self, drawing: Drawing) -> _Figure:
        """Draw a picture at its widths."""
        from markupsafe import Markup

        self._drawn += 1
        if self._progress is not None:
            self._progress("drawing", {"picture": self._drawn})
        # Drawn from data by a library and cleaned of everything but shapes, text and links into the page.
        wide = Markup(self._draughtsman.svg(drawing.wide, label=drawing.description))
        narrow = Markup(self._draughtsman.svg(drawing.narrow, label=drawing.description))
        return _Figure(wide, narrow, drawing.half)

    def sizes(self, part: Part) -> _Figure:
        return self.figure(charts.sizes(part))

    def silhouettes(self, part: Part) -> _Figure | None:
        drawing = charts.silhouettes(part)
        return None if drawing is None else self.figure(drawing)

    def profile(self, part: Part, standardised: bool) -> _Figure:
        return self.figure(charts.profile(part, self.telling(part), standardised=standardised))

    def map(self, part: Part, key: str) -> _Figure | None:
        return None if part.picture is None else self.figure(charts.map_of(part, part.picture, key))

    def flow(self, agreement: Agreement, locals_: Sequence[Cluster] | Sequence[GlobalCluster]) -> _Figure | None:
        return self.figure(charts.flow(agreement, locals_)) if agreement.clusters and locals_ else None

    def convergence(self, federation: Federation) -> _Figure | None:
        return self.figure(charts.convergence(federation.convergence)) if len(federation.convergence) > 1 else None

    @staticmethod
    def telling(part: Part) -> list[int]:
        """The features to draw: those that were trained on first, at most a dozen."""
        return list(range(len(part.features)))[:_MOST_FEATURES]

    @staticmethod
    def away(part: Part, index: int, mean: float | None) -> float | None:
        return charts.away(mean, part.features[index])

    @staticmethod
    def step(value: float | None) -> int:
        return charts.step_of(value)

    @staticmethod
    def kinds(clusters: Sequence[Cluster] | Sequence[GlobalCluster]) -> _Kinds:
        kinds = _Kinds((c.number, c.is_anomaly) for c in clusters)
        kinds.titles = {c.number: getattr(c, "title", "") for c in clusters}
        return kinds

    @staticmethod
    def colour(number: int, kinds: dict[int, bool]) -> str:
        return charts.cluster_colour(number, kinds) if number in kinds else "var(--muted)"

    @staticmethod
    def name(number: int, kinds: _Kinds) -> str:
        return cluster_name(number, kinds.get(number, False), kinds.titles.get(number, ""))

    @staticmethod
    def facts(model: ModelFacts) -> Iterator[tuple[str, str]]:
        """A model's properties, for a table of two columns."""
        yield "model", f"{model.name}, version {model.version}"
        yield "type", model.model_type
        options = [f"{key.upper()} = {_literal(value)}" for key, value in model.options.items() if value is not None]
        yield "options", ", ".join(options)
        if model.transforms:
            yield "transforms", ", ".join(model.transforms)
        yield "features", ", ".join(model.features)
        yield "trained on", f"{model.rows:,} rows" if model.rows else "rows that it does not tell"
        yield "created", f"{model.created_at} by {model.created_by}, Hanse {model.hanse_version}"


def render(report: Report, progress: Progress | None = None) -> bytes:
    """The page, as UTF-8.

    Args:
        report: what it shows. Any text of it may come from a stranger: all of it is escaped.
        progress: called for each picture that is drawn.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters.update(
        count=text.count,
        percent=text.percent,
        decimal=text.decimal,
        signed=text.signed,
        score=text.score,
        short=text.shortened,
        breakable=_breakable,
        sql=_sql,
        sortable=_sortable,
    )
    script = _file("report.js")
    page = environment.get_template("report.html").render(
        report=report,
        page=_Page(report, progress),
        headline=headline(report),
        summary=summary(report),
        style=_trusted(_file("report.css")),
        script=_trusted(script),
        script_hash=_hash(script),
    )
    return page.encode()


def _shown(value: Any) -> Any:
    """What a template prints: text without what a page cannot hold; never a stray None."""
    from markupsafe import Markup

    if isinstance(value, Markup):
        return value
    return "" if value is None else text.printable(value)


def _breakable(name: str) -> Markup:
    """A column's name that may break behind its underscores."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in text.shortened(name, 40).split("_"))


def _sortable(value: float | None) -> str:
    """What a column of numbers is sorted by; nothing sorts last."""
    return "" if value is None else repr(float(value))


def _sql(statement: str) -> str:
    clean = statement.strip()
    more = len(clean) - _SQL_LIMIT
    return clean if more <= 0 else f"{clean[:_SQL_LIMIT]}\n-- … and {more:,} characters more"


def _literal(value: object) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _file(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _trusted(content: str) -> Markup:
    """A file of our own, which goes into the page as it is."""
    from markupsafe import Markup

    return Markup(content)  # not of the report's data


def _hash(script: str) -> str:
    """What lets this script run, and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
