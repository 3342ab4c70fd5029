"""`standfast models`: train, list, show, activate, roll back, verify, export and import models."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from standfast.core.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from models.activations import Activation
    from models.manifests import Manifest

app = typer.Typer(no_args_is_help=True, help="Train, list, activate, roll back, verify and move models.")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="search or recommend, or one version: search@3, search@challenger.")
]
Seed = Annotated[int, typer.Option("--seed", help="For all that is drawn at random.")]
_MODEL_HELP = "The recommender, see `standfast models recommenders`; the best by validation if left out."
_SPLIT_HELP = (
    "What is held back to choose by: time, last, one (leave-one-out), random; a mix of time and random if left out."
)
_CHOOSE_BY_HELP = "The split of the training part by which a recommender is chosen; that of --split if left out."
_CANARY_HELP = "Have it answer this share of the keys only, such as 10%, beside the version that serves."
_SHADOW_HELP = "Have it compute what the version that serves answers, to be compared; its answers are not sent."
_QUICK_HELP = "Try only the recommenders that are fitted in seconds, as the first start does."


@app.command("train")
def train(  # noqa: PLR0913, PLR0917 - its options
    names: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="All when none is named.")] = None,
    chosen: Annotated[str | None, typer.Option("--model", help=_MODEL_HELP)] = None,
    split: Annotated[str | None, typer.Option("--split", help=_SPLIT_HELP)] = None,
    force: Annotated[bool, typer.Option("--force", help="Publish a recommender that loses to a baseline.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help=_QUICK_HELP)] = False,
    seed: Seed = 42,
    config: Annotated[Path | None, typer.Option("--config", help="The settings file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train models from the shop in use, publish them and make them active.

    If a system runs here, what its topic `catalogue` says of products is laid over the loaded file.

    Which recommender serves, and its constants, are chosen by its quality on events that were held back; a table says
    why. One that loses to popularity, trend or Markov is refused, and that baseline is published; the exit code is then
    1 if the one was named with --model.

    Example: standfast models train recommend
    """
    from consumers.catalogue.known import known
    from consumers.following import bulletin
    from models.training import Recommending
    from models.training import train as run
    from standfast.commands.progress import shown
    from standfast.commands.recommenders import print_choice, refused, wished
    from standfast.core.services import NAMES
    from standfast.core.services.search import SearchSettings
    from standfast.core.settings import load

    wanted = [service for service in NAMES if not names or service in names]
    unknown = sorted(set(names or ()) - set(NAMES))
    if unknown:
        raise UsageError(f"there is no model {', '.join(unknown)}; there are {', '.join(NAMES)}")
    search = load(config).section(SearchSettings)
    wish = wished(Recommending(model=chosen, force=force, quick=quick, seed=seed), split)
    with shown() as progress:
        manifests = run(
            wanted,
            progress=progress,
            encoder=search.encoder,
            device=search.device,
            exact_up_to=search.exact_up_to,
            recommending=wish,
            overlay=known(bulletin.store_folder("catalogue")),
        )
    if as_json:
        _json(manifests)
    for manifest in manifests if not as_json else []:
        print_choice(manifest)
        typer.echo(f"{manifest.label} is active: {_figures(manifest)}")
    if sum(refused(manifest) for manifest in manifests) and chosen:
        raise typer.Exit(1)


@app.command("evaluate")
def evaluate(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="recommend.")] = "recommend",
    chosen: Annotated[str | None, typer.Option("--model", help=_MODEL_HELP)] = None,
    split: Annotated[
        str, typer.Option("--split", help="What is predicted: time, last, one, random or mixed.")
    ] = "time",
    choose_by: Annotated[str | None, typer.Option("--choose-by", help=_CHOOSE_BY_HELP)] = None,
    seed: Seed = 42,
    config: Annotated[Path | None, typer.Option("--config", help="The settings file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the recommenders on the shop in use: train on a part of its events, and predict the others.

    All of it happens aside: nothing is published. Which recommender and which constants is chosen on the training part
    alone. nDCG@10 and HR@10 of the full ranking, with 95 % intervals.

    Example: standfast models evaluate recommend --split one
    """
    from models.training import Recommending
    from standfast.commands.progress import shown
    from standfast.commands.recommenders import evaluated, print_evaluation, wished
    from standfast.core.services.search import SearchSettings
    from standfast.core.settings import load

    if name != "recommend":
        raise UsageError(f"{name!r} cannot be evaluated; recommend can")
    search = load(config).section(SearchSettings)
    wish = wished(Recommending(model=chosen, seed=seed), choose_by or split)
    with shown() as progress:
        figures = evaluated(split, wish, progress, search.encoder, search.device)
    if as_json:
        _json(figures)
    else:
        print_evaluation(figures)


@app.command("recommenders")
def recommenders() -> None:
    """List the recommenders that `--model` of `models train` and `models evaluate` may name.

    Example: standfast models recommenders
    """
    from models.recommend.table import BLEND, TABLE

    for recipe in TABLE.values():
        typer.echo(f"{recipe.name:12} {recipe.about}")
    typer.echo(f"{BLEND:12} several of them, with weights that are learnt")


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the published versions, the active ones marked with *, challengers with +.

    Example: standfast models list --json
    """
    from models import registry

    rows = [_row(name, version) for name in registry.names() for version in registry.versions(name)]
    if as_json:
        _json(rows)
        return
    if not rows:
        typer.echo("no model is published; run `standfast models train`", err=True)
    for row in rows:
        created = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created_at / 1000))
        about = f"damaged: {row.problem}" if row.problem else f"{created}  {_ndcg(row.metrics)}"
        mark = "*" if row.active else "+" if row.challenger else " "
        typer.echo(f"{mark} {row.model}@{row.version}  {about}  {row.challenger}".rstrip())


def _row(name: str, version: int) -> VersionRow:
    """One version's row; a damaged version gets one too, so that the others are still listed."""
    from models import registry

    try:
        activation = registry.activation(name)
    except IntegrityError:
        activation = None  # the file that names the active version is damaged; `models verify` reports it
    active, challenger = _part(activation, version)
    try:
        manifest = registry.manifest_of(name, version)
    except IntegrityError as problem:
        return VersionRow(name, version, active, 0, {}, str(problem), challenger)
    return VersionRow(name, version, active, manifest.created_at, manifest.metrics, challenger=challenger)


def _part(activation: Activation | None, version: int) -> tuple[bool, str]:
    """Whether a version serves, and what it does if it is the challenger."""
    if activation is None:
        return False, ""
    canary = activation.canary
    about = f"challenger: {canary.about}" if canary is not None and canary.version == version else ""
    return activation.version == version, about


class VersionRow(msgspec.Struct, frozen=True):
    """One line of `models list`; `problem` says what is wrong with the version's manifest, empty if nothing is.

    `challenger`: what it does if it is tried beside the active version, else empty.
    """

    model: str
    version: int
    active: bool
    created_at: int
    metrics: dict[str, float]
    problem: str = ""
    challenger: str = ""


@app.command("show")
def show(model: Model, as_json: AsJson = False) -> None:
    """Show a version's metrics, lineage and files; the active version unless one is named.

    Example: standfast models show search
    """
    from models import registry

    name, version = _version(model)
    manifest = registry.manifest_of(name, version)
    if as_json:
        _json(manifest)
        return
    activation = registry.activation(name)
    active, challenger = _part(activation, version)
    typer.echo(f"{manifest.label} ({'active' if active else challenger or 'not active'})")
    if activation is not None and activation.ended:
        typer.echo(f"the last challenger: {activation.ended}")
    for title, lines in (
        ("metrics", {key: f"{value:g}" for key, value in manifest.metrics.items()}),
        ("lineage", manifest.lineage),
        ("files", {file: f"{entry.size:,} bytes, {entry.sha256}" for file, entry in manifest.files.items()}),
    ):
        typer.echo(f"\n{title}")
        for key, value in lines.items():
            typer.echo(f"  {key}: {value}")


@app.command("activate")
def activate(
    model: Annotated[str, typer.Argument(metavar="MODEL@VERSION")],
    canary: Annotated[str | None, typer.Option("--canary", help=_CANARY_HELP)] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help=_SHADOW_HELP)] = False,
) -> None:
    """Make a version the active one, on every host of the system. Each rolls it out, one worker after the other.

    A host that lacks the version's files gets them from this one. Where no system runs here, other hosts are told at
    the next start.

    With --canary or --shadow it becomes the challenger of the version that serves. The same command with another share
    changes the share; without an option the challenger serves; `models rollback` ends its part. It ends by itself when
    it does worse than the version that serves.

    Example: standfast models activate search@1
    """
    from models import registry
    from standfast.commands.drill_safety import login

    name, version = _parsed(model)
    if version is None:
        raise UsageError(f"{model!r} names no version; write {name}@<version>, see `standfast models list`")
    if canary is None and not shadow:
        registry.activate(name, version, login())
        typer.echo(f"{name}@{version} is active{_where()}")
        return
    share = 0.0 if canary is None else _share(canary)
    begun = registry.begin_canary(name, version, share, shadow=shadow, requested_by=login())
    does = begun.canary.about if begun.canary is not None else ""
    typer.echo(f"{name}@{version} is the challenger and {does}; {name}@{begun.version} is active{_where()}")


def _share(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text)
    percent = float(found[1]) if found else 0.0
    if not 0 < percent < 100:
        raise UsageError(f"--canary {text}: write a share above 0% and below 100%, such as 10%")
    return percent / 100


@app.command("export")
def export(
    model: Model,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tar to write; .tar.gz packs it.")],
) -> None:
    """Write a version into one file, to take it to another machine; the active version unless one is named.

    Example: standfast models export search@1 search-1.tar
    """
    from models.archives import export_version

    name, version = _version(model)
    manifest = export_version(name, version, file)
    typer.echo(f"{manifest.label} is in {file} ({file.stat().st_size:,} bytes)")


@app.command("import")
def import_(file: Annotated[Path, typer.Argument(metavar="FILE", help="What `models export` wrote.")]) -> None:
    """Publish the version in a file under the next number here, without making it active.

    A file that was changed or cut is refused. Every byte is checked against the version's manifest.

    Example: standfast models import search-1.tar
    """
    from models.archives import import_version

    manifest = import_version(file)
    before = manifest.lineage["imported"].partition(" ")[0]
    typer.echo(f"{manifest.label} is what was {before} there; `standfast models activate {manifest.label}` serves it")


@app.command("rollback")
def rollback(model: Annotated[str, typer.Argument(metavar="MODEL")]) -> None:
    """End the challenger's part if there is one; else go back to the version that served before. On every host.

    Example: standfast models rollback search
    """
    from models import registry
    from standfast.commands.drill_safety import login

    typer.echo(f"{model}@{registry.rollback(model, login())} is active{_where()}")


@app.command("verify")
def verify(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="All versions of all when left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte of the published models against their manifests; exit code 1 when one differs.

    Example: standfast models verify
    """
    from models import registry

    checked: dict[str, list[str]] = {}
    for name in [] if model else registry.names():
        checked |= registry.verify_all(name)
    if model:
        name, version = _version(model)
        checked[f"{name}@{version}"] = registry.verify(name, version)
    if as_json:
        _json(checked)
    for label, problems in checked.items() if not as_json else []:
        typer.echo(f"{label}: {'ok' if not problems else '; '.join(problems)}")
    if any(checked.values()):
        raise typer.Exit(1)


def _where() -> str:
    """Whether other hosts are told now; empty where no system runs that would tell them."""
    from consumers.following import bulletin
    from standfast.core import status

    told = bulletin.read(bulletin.store_folder("models"))
    follows = status.is_running() and told is not None and told.complete and told.is_fresh()
    return ", and every host of the system follows" if follows else ""


def _version(model: str) -> tuple[str, int]:
    from models import registry

    name, version = _parsed(model)
    if version is None:
        version = registry.active(name)
    if version is None:
        raise UsageError(f"no {name} model is active; name a version, or run `standfast models train`")
    return name, version


def _parsed(model: str) -> tuple[str, int | None]:
    name, at, number = model.partition("@")
    if number in {"champion", "challenger"}:
        return name, _aliased(name, number)
    if at and not number.isdecimal():
        raise UsageError(f"{model!r} is no version; write {name}@<number>, {name}@champion or {name}@challenger")
    return name, int(number) if at else None


def _aliased(name: str, alias: str) -> int:
    from models import registry

    activation = registry.activation(name)
    if activation is None:
        raise UsageError(f"no {name} model is active")
    if alias == "champion":
        return activation.version
    if activation.canary is None:
        raise UsageError(
            f"{name} has no challenger; `standfast models activate {name}@<version> --canary 10%` makes one"
        )
    return activation.canary.version


def _figures(manifest: Manifest) -> str:
    figures = manifest.metrics
    about = (
        f", {figures['events_matched']:,.0f} of {figures['events']:,.0f} events match" if "events" in figures else ""
    )
    return f"{figures['items']:,.0f} products{about} {_ndcg(figures)}".rstrip()


def _ndcg(metrics: dict[str, float]) -> str:
    if not {"ndcg_10", "popularity_ndcg_10"} <= metrics.keys():
        return ""
    return f"nDCG@10 {metrics['ndcg_10']:.3f} (popularity {metrics['popularity_ndcg_10']:.3f})"


def _json(value: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
