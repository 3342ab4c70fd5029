"""`standfast drill schedules`: what begins by itself, and when."""

from __future__ import annotations

import typer

from standfast.commands.options import AsJson, print_json, stderr, stdout


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("schedules")(schedules)


def schedules(as_json: AsJson = False) -> None:
    """The schedules of this machine, and when each is due next.

    Example: standfast drill schedules
    """
    import time
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from rich.table import Table

    from drills.schedules import SCHEDULES
    from drills.schedules.due import next_due

    found = SCHEDULES.all()
    due = {name: next_due(schedule, time.time()) if schedule.enabled else None for name, schedule in found.items()}
    if as_json:
        print_json(
            [
                {"schedule": name, "runs": one.drill or one.campaign, "next_due": due[name]}
                for name, one in found.items()
            ]
        )
        return
    if not found:
        stderr().print(f"there is no schedule in {SCHEDULES.own()}", soft_wrap=True, markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("schedule", "runs", "cron", "next"):
        table.add_column(column)
    for name, schedule in found.items():
        at, zone = due[name], ZoneInfo(schedule.zone)
        when = f"{datetime.fromtimestamp(at, zone):%a %Y-%m-%d %H:%M} {schedule.zone}" if at is not None else "never"
        table.add_row(name, schedule.drill or schedule.campaign or "", schedule.cron, when)
    stdout().print(table)
