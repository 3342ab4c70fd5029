"""`standfast drill`: break the system on purpose and see the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from standfast.commands import drill_reading, drill_report, drill_safety, drill_schedules
from standfast.commands.options import AsJson, Config, finite, located_settings, print_json, stderr, stdout

if TYPE_CHECKING:
    from drills.catalogue.drill import Drill
    from schemas.records import DrillCommand, Scalar
    from standfast.core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Break the system on purpose and see the verdict.")
NOT_YET = (
    "a wrong or old model version; one bad replica of several that answer together, as no request is answered by more "
    "than one; stale or missing features and drift of data, which nothing watches; an expired TLS certificate; DNS"
)
_GRACE_S = 30.0  # for the verdict, after the most the drill itself may take
drill_safety.register(app)
drill_schedules.register(app)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The drill, as `standfast drill list` names it.")]
Pairs = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One param; may be repeated.")]


@app.command("list")
def list_drills(as_json: AsJson = False) -> None:
    """The drills there are.

    Example: standfast drill list
    """
    from rich.table import Table

    from drills.campaigns import CAMPAIGNS
    from drills.catalogue import catalogue

    if as_json:
        print_json(list(catalogue().values()))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("drill", no_wrap=True)
    table.add_column("what it does")
    for drill in catalogue().values():
        needs = f" Needs {drill.least_brokers} brokers." if drill.least_brokers > 1 else ""
        table.add_row(drill.name, drill.what + needs)
    for name, campaign in CAMPAIGNS.all().items():
        table.add_row(name, f"campaign: {campaign.title}")
    stdout().print(table)
    stderr().print(f"Not there yet: {NOT_YET}.", soft_wrap=True, markup=False)


@app.command("show")
def show(name: Name, as_json: AsJson = False) -> None:
    """One drill: what it does, its params and targets, what the system promises while it runs.

    Example: standfast drill show worker-kill
    """
    from rich.table import Table

    drill = _drill(name)
    if as_json:
        print_json(drill)
        return
    out = stdout()
    out.print(f"[bold]{drill.name}[/]  {drill.what}\n{drill.why}\n")
    params = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("--set", "default", "limits", ""):
        params.add_column(column)
    for param in drill.params:
        params.add_row(param.name, str(param.default), param.limits, param.about)
    targets = Table(box=None, pad_edge=False, header_style="bold")
    targets.add_column("--target")
    targets.add_column("")
    for key, about in drill.targets.items():
        targets.add_row(f"{key}=…", about)
    out.print(params, "", targets, "\n[bold]promised[/]", *(f"• {promise}" for promise in drill.promises), sep="\n")
    out.print(f"\n[bold]undo[/]\n{drill.undo}")


@app.command("validate")
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files of drills.", show_default=False)],
) -> None:
    """Check files of drills; every mistake with its line, and what would be right. Exit code 64 if there is one.

    Example: standfast drill validate my-drill.yaml
    """
    from drills.catalogue.reader import BadDefinition
    from drills.files import checked
    from standfast.core.errors import DrillUsageError

    wrong: list[str] = []
    elsewhere: set[Path] = set()  # folders in which the runner looks, of files that lie in another one
    for file in files:
        try:
            what, home = checked(file)
        except BadDefinition as error:
            wrong.append(str(error))
        else:
            stdout().print(f"{file} is the {what} {file.stem}", soft_wrap=True, markup=False)
            if file.resolve().parent != home.resolve():
                elsewhere.add(home)
    for home in sorted(elsewhere):
        stderr().print(f"copy it to {home}, where this machine's drill runner finds it", soft_wrap=True, markup=False)
    if wrong:
        raise DrillUsageError("\n".join(wrong))


@app.command("schema")
def schema() -> None:
    """The format of a drill's file as JSON Schema, for editors.

    Example: standfast drill schema > drill.schema.json
    """
    import msgspec

    from drills.catalogue.definition import Definition

    print_json(msgspec.json.schema(Definition))


@app.command("run")
def run(  # noqa: PLR0913, PLR0917 - one parameter per option
    name: Name,
    pairs: Pairs = None,
    targets: Annotated[
        list[str] | None, typer.Option("--target", metavar="KEY=VALUE", help="Whom to strike, such as worker=search-0.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Chooses the same target again.")] = None,
    duration_s: Annotated[
        float | None, typer.Option("--duration", help="Seconds for all of it.", callback=finite)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; inject nothing.")] = False,
    as_json: AsJson = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="Seconds to wait for the verdict.", min=0.1, callback=finite)
    ] = None,
    sign: drill_safety.Sign = None,
    config: Config = None,
) -> None:
    """Run a drill on the running system; phases on stderr, the verdict on stdout.

    Ctrl-C and a time-out abort the drill and say what became of it. Exit codes: 0 the system held (or a dry run found
    no obstacle), 1 it did not, or an answer was lost, 2 unknown, 3 the fault was not injected, 4 its undo could not be
    verified, 64 wrong usage, 75 rejected.

    Example: standfast drill run worker-kill --set rate=100 --target worker=search-0
    """
    from drills.control.follow import follow
    from drills.reports.exit_code import UNKNOWN, exit_code
    from drills.reports.report import phase_line, verdict_table
    from standfast.core.errors import ClusterError, DrillUsageError, NoAnswer, UsageError

    settings = located_settings(config)
    try:
        command = _command(name, pairs or [], targets or [], seed, duration_s, dry_run)
        longest = _longest_of(command, settings) + _GRACE_S
        signer = drill_safety.signer_of(sign)
    except UsageError as error:
        raise DrillUsageError(str(error)) from None
    progress = stderr()
    _abort_at_signals()
    try:
        last = follow(command, settings, timeout or longest, lambda event: progress.print(phase_line(event)), signer)
    except (ClusterError, NoAnswer) as error:
        error.exit_code = UNKNOWN
        raise
    if as_json:
        print_json(last)
    else:
        stdout().print(verdict_table(last))
    if code := exit_code(last, dry_run=dry_run):
        raise typer.Exit(code)


app.command("report")(drill_report.report)
app.command("verify")(drill_report.verify)
app.command("watch")(drill_reading.watch)
app.command("compare")(drill_reading.compare)
app.command("import")(drill_reading.import_experiment)


def _abort_at_signals() -> None:
    """Makes SIGTERM (a plain `kill`) and SIGHUP (a closed terminal) abort the drill as Ctrl-C does."""
    import signal

    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)


def _drill(name: str) -> Drill:
    from drills.catalogue import find
    from standfast.core.errors import DrillRejected, UsageError

    try:
        return find(name)
    except DrillRejected as error:
        raise UsageError(str(error)) from None


def _command(
    name: str, pairs: list[str], targets: list[str], seed: int | None, duration_s: float | None, dry_run: bool
) -> DrillCommand:
    import uuid

    from drills.campaigns import CAMPAIGNS
    from drills.catalogue import files
    from schemas.records import DrillCommand
    from standfast.core.errors import DrillRejected, UsageError

    drill_id = f"{name}-{uuid.uuid4().hex[:8]}"
    if name in CAMPAIGNS.files() and name not in {path.stem for path in files()}:
        if pairs or targets or duration_s is not None:
            raise UsageError(f"{name} is a campaign: what its drills set stands in its file")
        by = drill_safety.login()
        return DrillCommand(campaign=name, drill_id=drill_id, seed=seed, dry_run=dry_run, requested_by=by)
    drill = _drill(name)
    try:
        params: dict[str, Scalar] = {key: drill.param(key).parsed(text) for key, text in _split(pairs, "--set")}
    except DrillRejected as error:
        raise UsageError(str(error)) from None
    target: dict[str, Scalar] = {
        key: int(text) if key == "partition" and text.isdecimal() else text for key, text in _split(targets, "--target")
    }
    return DrillCommand(
        drill=name,
        drill_id=drill_id,
        target=target,
        params=params,
        duration_s=duration_s,
        seed=seed,
        dry_run=dry_run,
        requested_by=drill_safety.login(),
    )


def _split(pairs: list[str], option: str) -> list[tuple[str, str]]:
    from standfast.core.errors import UsageError

    split = [pair.partition("=") for pair in pairs]
    for key, sign, _ in split:
        if not key or not sign:
            raise UsageError(f"{option} {key}: give it as KEY=VALUE")
    return [(key, value) for key, _, value in split]


def _longest_of(command: DrillCommand, settings: Settings) -> float:
    """The same for a campaign: that of all its drills, and of what is between them."""
    from drills.campaigns import CAMPAIGNS
    from drills.campaigns.members import members
    from standfast.core.errors import DrillRejected, UsageError

    if command.campaign is None:
        return _longest(command, settings)
    try:
        campaign = CAMPAIGNS.find(command.campaign)
        steps = members(campaign, command.drill_id or "", command.seed or campaign.seed or 0, settings, None)
    except DrillRejected as error:
        raise UsageError(str(error)) from None
    between_s = len(steps) * (campaign.pause_s + campaign.ready_within_s)
    return between_s + sum(max(_longest(drill, settings) for drill in step) for step in steps)


def _longest(command: DrillCommand, settings: Settings) -> float:
    """The most seconds the drill may take; raises UsageError, before anything is sent, for one that cannot run."""
    from drills.running.plan import make_plan
    from standfast.core.errors import DrillRejected, UsageError

    try:
        plan = make_plan(command, command.drill_id or "", settings)
    except DrillRejected as error:
        raise UsageError(str(error)) from None
    limits = settings.drills
    above = (limits.approve_above_processes, limits.approve_above_share, limits.approve_above_hosts)
    may_wait = any(most is not None for most in above)
    return plan.duration_s + (limits.approve_within_s if may_wait else 0.0)
