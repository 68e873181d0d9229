"""The commands of a silo's owner: ``hanse silo serve | ledger | preview | installs | policy check``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hanse.federation.preview import Preview

__all__ = ["app"]

Action = Callable[[], None]

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings=_CONTEXT,
    help="Run a silo: only what its owner's silo.toml allows ever leaves it.",
    short_help="Run a silo, and see what left it.",
)
policy = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings=_CONTEXT,
    help="The silo's policy.",
    short_help="See what a policy allows and costs.",
)
app.add_typer(policy, name="policy")

ConfigOption = Annotated[str, typer.Option("--config", "-c", metavar="FILE", help="The silo's own file, silo.toml.")]
FormatOption = Annotated[
    str, typer.Option("--format", metavar="table|json", help="json: one object per line, everything in it.")
]


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # the command line speaks


@app.command(short_help="Answer a coordinator's tasks until Ctrl-C.")
def serve(config: ConfigOption) -> Action:
    """Answer a coordinator's tasks until Ctrl-C or a TERM signal.

    The broker need not run yet: the silo waits for it, and comes back to it. Every answer is in the ledger, on disk,
    before it leaves; after a crash the silo gives the same answers again.

    \b
    hanse silo serve --config comfort_wear/silo.toml
    """

    def action() -> None:
        import signal
        import threading

        from hanse.cli.terminal import note
        from hanse.errors import UsageError
        from hanse.federation.config import SiloConfig
        from hanse.federation.silo import Silo
        from hanse.messages import Reply, Task
        from hanse.transports import nats
        from hanse.transports.settings import ConnectionSettings

        loaded = SiloConfig.load(config)
        if loaded.federation is None:
            raise UsageError(f"{config}: no table [federation]: hanse federation init makes one for each silo")
        settings = ConnectionSettings.from_table(loaded.federation, loaded.folder, where=f"{config}: [federation]")
        if not loaded.publish:
            note(f"{config} publishes nothing yet: every task is refused")
        stop = threading.Event()
        with Silo(loaded) as silo:
            silo.prepare()  # before the signals' handlers, for Spark sets one of its own
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stop.set())

            def answer(task: Task, coordinator: str) -> Reply:
                return silo.answer(task, coordinator=coordinator)

            nats.serve(settings, answer, stop=stop, ready=lambda: note(f"silo {loaded.name} is ready"))

    return action


@app.command(short_help="Show or verify what left.")
def ledger(
    config: ConfigOption,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the chain instead; exit code 1 if anything is wrong.")
    ] = False,
    head: Annotated[
        list[str] | None,
        typer.Option(
            "--head", metavar="HASH", help="A ledger head from a reply; must be in the chain. May be repeated."
        ),
    ] = None,
    format: FormatOption = "table",
) -> Action:
    """Show every answer and refusal of the silo, also while it runs; it is the silo's own and never leaves.

    The chain finds entries that were changed, dropped or reordered. The head file beside the ledger finds entries cut
    off its end, unless it was rewritten too. A head from a coordinator's record (SHOW EGRESS) finds even a ledger that
    was rewritten as a whole.

    \b
    hanse silo ledger --config silo.toml
    hanse silo ledger --config silo.toml --format json > ledger.jsonl
    hanse silo ledger --config silo.toml --verify --head 3f2a...
    """

    def action() -> None:
        import msgspec

        from hanse.errors import WorkspaceError
        from hanse.federation import audit
        from hanse.federation.config import SiloConfig

        _check_format(format)
        path = SiloConfig.load(config).ledger
        if not path.exists():
            _print(f"no ledger {path}: nothing was asked of this silo yet")
            return
        if verify or head:
            found = audit.verify(path, tuple(head or ()))
            for text in found.notes:
                _print(f"note: {text}")
            if found.problems:
                raise WorkspaceError("\n".join([f"ledger {path} does not verify:", *found.problems]))
            _print(f"ledger {path}: {found.entries} entries, chain and head agree; head {found.head}")
            return
        entries = audit.entries_of(path)
        if format == "json":
            for entry in entries:
                _print(msgspec.json.encode(entry).decode())
            return
        _table([audit.summary(entry) for entry in entries])

    return action


@app.command(short_help="See what would leave, cell by cell.")
def preview(
    config: ConfigOption,
    relation: Annotated[
        str | None, typer.Option("--relation", metavar="NAME", help="A published relation; all without it.")
    ] = None,
    clusters: Annotated[int, typer.Option("--clusters", metavar="K", min=1, help="Local clusters.")] = 3,
    label: Annotated[
        str | None, typer.Option("--label", metavar="COLUMN", help="Also the coefficients that predict this column.")
    ] = None,
    format: FormatOption = "table",
) -> Action:
    """Show what a one_shot training would take from this silo: cell sizes, merges and refusals.

    Nothing is sent, and nothing is written to the ledger. A coordinator sees reason codes, never these sizes.

    \b
    hanse silo preview --config silo.toml
    hanse silo preview --config silo.toml --relation customer_features --clusters 8
    hanse silo preview --config silo.toml --label churn_label
    """

    def action() -> None:
        import msgspec

        from hanse.federation.config import SiloConfig
        from hanse.federation.preview import preview as work_out
        from hanse.federation.silo import Silo

        _check_format(format)
        with Silo(SiloConfig.load(config)) as silo:
            for found in work_out(silo, relation, clusters, label):
                if format == "json":
                    _print(msgspec.json.encode(found).decode())
                else:
                    _show(found)

    return action


@app.command(short_help="Global models that wait for you.")
def installs(
    config: ConfigOption,
    accept: Annotated[
        str | None, typer.Option("--accept", metavar="MODEL", help="Put a waiting model into the registry.")
    ] = None,
    reject: Annotated[str | None, typer.Option("--reject", metavar="MODEL", help="Forget a waiting model.")] = None,
) -> Action:
    """List the global models that wait for this silo's owner (install = ask), accept one or reject one.

    \b
    hanse silo installs --config silo.toml
    hanse silo installs --config silo.toml --accept league.shoppers
    """

    def action() -> None:
        from hanse.errors import UsageError
        from hanse.federation.config import SiloConfig
        from hanse.federation.install import Installer
        from hanse.federation.snapshot import private_folder

        if accept is not None and reject is not None:
            raise UsageError("--accept and --reject: give one of them")
        loaded = SiloConfig.load(config)
        private_folder(loaded.state)
        installer = Installer(loaded)
        if accept is not None:
            installer.accept(accept)
            _print(f"model {accept} is in {loaded.registry}")
        elif reject is not None:
            installer.reject(reject)
            _print(f"model {reject} is forgotten")
        else:
            for name in installer.waiting():
                _print(name)

    return action


@policy.command(short_help="What this policy allows and costs.")
def check(config: ConfigOption) -> Action:
    """Read silo.toml strictly, and say in plain words what it allows to leave and what that costs.

    \b
    hanse silo policy check --config silo.toml
    """

    def action() -> None:
        from hanse.federation.config import SiloConfig

        loaded = SiloConfig.load(config)
        _print(f"silo {loaded.name}, {loaded.database}, ledger {loaded.ledger}")
        for publish in (loaded.publish or {}).values():
            what = f"relation {publish.relation}" if publish.relation else "the owner's SQL"
            each = f"; each value of {publish.store} is a silo of its own" if publish.store else ""
            _print(
                f"publishes {publish.name}: {what}, columns {', '.join(publish.columns or ())}; protects each "
                f"{publish.customer}{each}"
            )
            loose = [column for column in publish.columns or () if column not in publish.bounds]
            if loose:
                _print(f"  no bounds on {', '.join(loose)}: one extreme customer can dominate a sum of squares")
        if not loaded.publish:
            _print("publishes nothing: every task is refused")
        for sentence in loaded.policy.explained():
            _print(f"- {sentence}")

    return action


def _check_format(format: str) -> None:
    from hanse.errors import UsageError, nearest

    if format not in ("table", "json"):
        raise UsageError(f"--format {format}: unknown format: {nearest(format, ['table', 'json'])}")


def _show(found: Preview) -> None:
    _print(f"silo {found.silo}, {found.relation}: {found.rows} rows of {found.customers} customers")
    for kind, verdict in found.verdicts.items():
        _print(f"  {kind}: {verdict}")
    _table(
        [
            {
                "cluster": cell.number,
                "customers": cell.customers,
                "rows": cell.rows,
                "largest share": f"{cell.share_percent:.1f} %",
                "leaves as": "-" if cell.leaves_as < 0 else cell.leaves_as,
            }
            for cell in found.cells
        ]
    )


def _table(rows: list[dict[str, object]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from hanse.cli.terminal import stdout_console

    if not rows:
        _print("(none)")
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    stdout_console().print(table)
