"""The commands and their options; each returns the work to do, so that errors are told in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from hanse import __version__
from hanse.cli import federation as federation_commands
from hanse.cli import silo
from hanse.cli.workspace import DEFAULT_WORKSPACE, WORKSPACE_VARIABLE

__all__ = ["app"]

Action = Callable[[], None]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,  # plain help starts twice as fast
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

WorkspaceOption = Annotated[
    str | None,
    typer.Option(
        "--workspace",
        "-w",
        metavar="DIR",
        help="Folder with the data and the models; made where it is missing. Without it "
        f"${WORKSPACE_VARIABLE}, or else {DEFAULT_WORKSPACE} in the current folder. ':memory:' keeps nothing.",
    ),
]
ParameterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="A value for $NAME; may be repeated. Typed: 2011-10-01, '2011-10-01 12:30:00', 3, 0.5, true, null; all "
        "else is text, and so is what stands in quotes: \"k='3'\".",
    ),
]
FederationOption = Annotated[
    str | None,
    typer.Option(
        "--federation",
        metavar="FILE",
        help="The coordinator's own file, coordinator.toml: statements may then ask silos over a broker.",
    ),
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="table|json|csv|arrow",
        help="json: one object per statement and line. csv: header and rows. arrow: an IPC stream of the last rows.",
    ),
]
IntoOption = Annotated[
    str | None,
    typer.Option("--into", metavar="TABLE", help="Store the last result in a table, replacing it if it exists."),
]
RowsOption = Annotated[
    int, typer.Option("--rows", metavar="N", min=0, help="How many rows a table shows; 0 shows all.")
]
MemoryOption = Annotated[
    str | None,
    typer.Option("--memory-limit", metavar="SIZE", help="What the engine may use, as 2GB; more spills to disk."),
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="Threads of the engine; all cores without it.")
]

EngineOption = Annotated[
    str,
    typer.Option(
        "--engine", metavar="duckdb|spark", help="What runs the statements; spark needs --master or --remote."
    ),
]
MasterOption = Annotated[
    str | None,
    typer.Option(
        "--master",
        metavar="MASTER",
        help="Start Spark there: local[2], yarn ... Its tables are kept in the workspace.",
    ),
]
RemoteOption = Annotated[
    str | None,
    typer.Option("--remote", metavar="URL", help="A Spark Connect server, sc://host:15002, with its own catalog."),
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hanse {__version__}")
        raise typer.Exit


app.add_typer(silo.app, name="silo")
app.add_typer(federation_commands.app, name="federation")


@app.callback(invoke_without_command=True)
def hanse(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Find anomalous customers where each store keeps its data, in SQL.

    \b
    hanse demo                                    # two made-up stores, the whole story
    hanse load events events.parquet              # your own data
    hanse sql "SELECT COUNT(*) FROM events"
    hanse run features.sql train.sql --param start_date=2011-10-01
    hanse report shoppers --table customers       # one HTML file
    hanse shell

    Exit codes: 0; 2 for bad usage or SQL; 130 for Ctrl-C; 1 for anything else.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(short_help="Run SQL scripts in one session.")
def run(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="SQL scripts, run in order; - is stdin.")],
    workspace: WorkspaceOption = None,
    param: ParameterOption = None,
    into: IntoOption = None,
    format: FormatOption = "table",
    rows: RowsOption = 40,
    memory_limit: MemoryOption = None,
    threads: ThreadsOption = None,
    federation: FederationOption = None,
    engine: EngineOption = "duckdb",
    master: MasterOption = None,
    remote: RemoteOption = None,
) -> Action:
    """Run SQL scripts in one session: temporary tables and SET last from file to file.

    \b
    hanse run 01_features.sql 02_train.sql -w shop --param start_date=2011-10-01
    hanse run features.sql --into customer_features
    hanse run train.sql --engine spark --master local[2]
    cat report.sql | hanse run - --format csv > report.csv
    """

    def action() -> None:
        from hanse.cli import commands

        place = commands.Place(workspace, memory_limit, threads, federation, engine, master, remote)
        commands.run_files(files, place, param or [], into, format, rows)

    return action


@app.command(short_help="Run statements given as an argument.")
def sql(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Statements, separated by ; .")],
    workspace: WorkspaceOption = None,
    param: ParameterOption = None,
    into: IntoOption = None,
    format: FormatOption = "table",
    rows: RowsOption = 40,
    memory_limit: MemoryOption = None,
    threads: ThreadsOption = None,
    federation: FederationOption = None,
    engine: EngineOption = "duckdb",
    master: MasterOption = None,
    remote: RemoteOption = None,
) -> Action:
    """Run statements given as an argument.

    \b
    hanse sql "SHOW MODELS"
    hanse sql 'SELECT * FROM orders WHERE day >= $since' --param since=2011-10-01
    hanse sql "SELECT * FROM model_centroids(shoppers, 1)" --format json
    """

    def action() -> None:
        from hanse.cli import commands

        place = commands.Place(workspace, memory_limit, threads, federation, engine, master, remote)
        commands.run_text(text, place, param or [], into, format, rows)

    return action


@app.command(short_help="Type statements and see their results.")
def shell(
    workspace: WorkspaceOption = None,
    param: ParameterOption = None,
    rows: RowsOption = 40,
    memory_limit: MemoryOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = "duckdb",
    master: MasterOption = None,
    remote: RemoteOption = None,
) -> Action:
    """Type statements and see their results; \\? in the shell lists what else it understands.

    \b
    hanse shell -w shop
    hanse shell --param start_date=2011-10-01
    """

    def action() -> None:
        from hanse.cli import commands

        place = commands.Place(workspace, memory_limit, threads, None, engine, master, remote)
        commands.open_shell(place, param or [], rows)

    return action


@app.command(short_help="Load parquet, csv or json files into a table.")
def load(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table's name.")],
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="parquet, csv or json (.gz too) files of one format.")
    ],
    workspace: WorkspaceOption = None,
    replace: Annotated[
        bool, typer.Option("--replace/--no-replace", help="Whether a table of that name may be replaced.")
    ] = True,
    memory_limit: MemoryOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = "duckdb",
    master: MasterOption = None,
    remote: RemoteOption = None,
) -> Action:
    """Load files into a table of the workspace; columns of several files are matched by name.

    \b
    hanse load hbi_web_events_v1 events.parquet
    hanse load orders orders-2010.csv orders-2011.csv -w shop
    """

    def action() -> None:
        from hanse.cli import commands

        place = commands.Place(workspace, memory_limit, threads, None, engine, master, remote)
        commands.load(table, files, place, replace)

    return action


@app.command(short_help="List the models of a workspace.")
def models(workspace: WorkspaceOption = None, format: FormatOption = "table") -> Action:
    """List the models of a workspace, also while another process works in it.

    \b
    hanse models -w shop
    hanse models --format json
    """

    def action() -> None:
        from hanse.cli import commands

        commands.list_models(workspace, format)

    return action


@app.command(short_help="Write a report of a model's anomalies, as one HTML file.")
def report(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL", help="A model, or several; NAME is its latest version, NAME:2 its second."),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where it goes; a file there is replaced.")
    ] = "report.html",
    against: Annotated[
        str | None, typer.Option("--against", metavar="MODEL", help="The global model to compare them with.")
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            "--select",
            metavar="SQL",
            help="Whose customers: once for all models, or once for each in the same order. Without it those that each "
            "model was trained on.",
        ),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="NAME", help="The same, short for --select 'SELECT * FROM NAME'."),
    ] = None,
    id: Annotated[
        str | None,
        typer.Option("--id", metavar="COLUMN", help="What names a customer; found by itself where one column does."),
    ] = None,
    contamination: Annotated[
        float | None,
        typer.Option(
            "--contamination",
            metavar="P",
            help="Anomalous is who scores higher than all but this share of the training rows; 0.02 by default.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="T", help="Anomalous is who scores above T, instead."),
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", help="How many anomalous customers are listed.")] = 50,
    workspace: WorkspaceOption = None,
    param: ParameterOption = None,
    memory_limit: MemoryOption = None,
    threads: ThreadsOption = None,
    federation: FederationOption = None,
    engine: EngineOption = "duckdb",
    master: MasterOption = None,
    remote: RemoteOption = None,
) -> Action:
    """Write a report of a model's anomalies: one HTML file to open, print or send, which loads nothing.

    Select a column that names the customers; all other numbers of the SELECT are shown, too.

    \b
    hanse report shoppers --table customers
    hanse report shoppers:2 --select "SELECT * FROM customers WHERE country = 'SE'" -o sweden.html
    hanse report shop_a shop_b --against league --table customers_a --table customers_b
    """

    def action() -> None:
        from hanse.cli import commands
        from hanse.cli.report import ReportOptions, write

        place = commands.Place(workspace, memory_limit, threads, federation, engine, master, remote)
        options = ReportOptions(models, output, against, select or [], table or [], id, contamination, threshold, top)
        write(options, place, param or [])

    return action


@app.command(short_help="Run the whole story on two made-up stores.")
def demo(
    events: Annotated[
        int, typer.Option("--events", metavar="N", help="How many events to make; 1000 or more.")
    ] = 200_000,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Another seed makes other customers.")] = 7,
    workspace: Annotated[
        str, typer.Option("--workspace", "-w", metavar="DIR", help="Where data, models and scripts go.")
    ] = "hanse-demo",
    rows: RowsOption = 40,
    memory_limit: MemoryOption = None,
    threads: ThreadsOption = None,
) -> Action:
    """Make up two stores' events, run the whole story on them, and show what it finds.

    The scripts are copied to DIR/story, for you to open, edit and run again.

    \b
    hanse demo
    hanse demo --events 2000000 --seed 1 -w big-demo
    """

    def action() -> None:
        from hanse.cli import commands
        from hanse.cli.story import tell

        tell(commands.Place(workspace, memory_limit, threads), events, seed, rows)

    return action
