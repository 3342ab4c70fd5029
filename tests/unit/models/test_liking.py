"""Which events count as liking: their kind and sign, each customer once for each product, only known products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from consumers.profiles.rows import packed, unpacked
from models.data import shop
from models.data.catalogue import Catalogue
from models.data.interactions import Interactions, read_interactions
from models.data.rows import Skipped
from models.recommend.training import fit
from models.training import train
from schemas.events import liked, weight_of
from schemas.records import Profile, Seen
from standfast.commands.data import catalogue as catalogue_commands
from standfast.commands.data import interactions as interaction_commands
from standfast.core.errors import DataError

_AT = 1_700_000_000_000
_DAY = 86_400_000
_SHOP = Catalogue(["a", "b", "c", "d"], ["red lamp", "blue hat", "oak board", "tea cup"], ["a", "b", "c", "d"], "")
_Row = tuple[str, str, int, str, float | None]


def _read(folder: Path, rows: list[_Row], name: str = "i.csv") -> tuple[Interactions, Skipped]:
    path = folder / name
    columns = ("user_id", "item_id", "timestamp", "event", "value")
    if name.endswith("parquet"):
        table = dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))
        pq.write_table(pa.table(table), path)
    else:
        lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
        path.write_text("\n".join([",".join(columns), *lines]))
    return read_interactions(path)


def _most_liked(events: Interactions) -> list[str]:
    fitted = fit(_SHOP, torch.eye(4), events)
    order = fitted.prior.argsort(descending=True, stable=True).tolist()
    return [fitted.config.item_ids[item] for item in order if fitted.prior[item] > 0]


@pytest.mark.parametrize(
    "name", ["refund", "Return", "ORDER_CANCELLED", "remove_from_cart", "Removed from cart", "unlike"]
)
def test_what_takes_back_weighs_below_zero(name: str) -> None:
    assert weight_of(name, None) < 0
    assert weight_of(name, -20.0) < 0
    assert weight_of(name, 20.0) < 0


@pytest.mark.parametrize(
    ("name", "known"),
    [("addToCart", "cart"), ("add-to-cart", "cart"), ("Page View", "view"), ("transaction", "purchase")],
)
def test_other_programs_names_are_known(name: str, known: str) -> None:
    assert weight_of(name, None) == weight_of(known, None) > 0


def test_a_value_below_zero_takes_back_and_what_is_unknown_says_nothing() -> None:
    assert weight_of("purchase", -1) == -1
    assert weight_of("view", -1) == -weight_of("view", None)
    assert weight_of("rating", -1) < 0 == weight_of("rating", 0) < weight_of("rating", 1)
    assert weight_of("purchase", float("nan")) == weight_of("purchase", 0) == 1
    assert weight_of("complaint", 5) == weight_of("1", None) == weight_of("", None) == 0


@pytest.mark.parametrize("name", ["i.csv", "i.parquet"])
@pytest.mark.parametrize(
    "back", [("refund", None), ("remove_from_cart", None), ("purchase", -1.0), ("complaint", None)]
)
def test_what_was_sent_back_is_not_what_is_liked(tmp_path: Path, name: str, back: tuple[str, float | None]) -> None:
    rows: list[_Row] = [(f"u{n}", "a", _AT + n, "purchase", 1.0) for n in range(5)]
    rows += [(f"r{n}", "b", _AT + n, *back) for n in range(200)]
    events, skipped = _read(tmp_path, rows, name)
    assert (len(events), skipped.total) == (5, 0)
    assert [line.split(":")[0] for line in skipped.lines()] == ["200 not counted"]
    assert back[0] in skipped.lines()[0], "the first of them is named"
    assert _most_liked(events) == ["a"]


def test_a_refund_takes_the_purchase_back_and_a_removal_only_the_cart(tmp_path: Path) -> None:
    rows: list[_Row] = [
        ("u1", "a", _AT, "purchase", None),
        ("u1", "a", _AT + 1, "refund", None),
        ("u2", "a", _AT, "refund", None),
        ("u2", "a", _AT + 1, "purchase", None),
        ("u3", "b", _AT, "view", None),
        ("u3", "b", _AT + 1, "cart", None),
        ("u3", "b", _AT + 2, "remove_from_cart", None),
        ("u4", "b", _AT, "purchase", None),
        ("u4", "b", _AT + 1, "remove_from_cart", None),
        ("u1", "b", _AT + 2, "view", None),
    ]
    events, skipped = _read(tmp_path, rows[::-1])
    left = {(events.users[u], events.items[i]) for u, i in zip(events.user, events.item, strict=True)}
    assert left == {("u2", "a"), ("u4", "b"), ("u1", "b")}
    assert "3 not counted: taken back by a later event" in skipped.lines()[1]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from(["view", "cart", "purchase", "remove_from_cart", "refund", "complaint"]),
            st.sampled_from([None, 1.0, -1.0]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_training_and_the_live_stream_take_the_same_for_liking(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, str, float | None]]
) -> None:
    live = liked([Seen(item_id=i, event=e, timestamp=_AT + at, value=v) for at, (i, e, v) in enumerate(history)])
    rows = [(user, i, _AT + at, e, v) for user in ("u1", "u2") for at, (i, e, v) in enumerate(history)]
    try:
        events = _read(tmp_path_factory.mktemp("liking"), rows)[0]
    except DataError as problem:
        assert not live, problem  # noqa: PT017 - a file without one event that counts is refused
    else:
        for user in (0, 1):
            assert events.at[events.user == user].tolist() == [event.timestamp for event in live]


def test_a_workers_history_holds_what_is_liked() -> None:
    seen = [
        Seen(item_id=item, event=event, timestamp=at)
        for at, (item, event) in enumerate([("a", "purchase"), ("b", "view"), ("a", "refund"), ("c", "complaint")])
    ]
    row = packed(Profile(user_id="u", items=seen, updated_at=3), "abc".index)
    assert unpacked([row]) == ["abc".index("b")]


def test_a_visitor_who_looks_five_thousand_times_is_one_visitor(tmp_path: Path) -> None:
    rows: list[_Row] = [(f"u{n}", "b", _AT + n, "purchase", None) for n in range(40)]
    rows += [("bot", "a", _AT + n, event, None) for n in range(2_500) for event in ("view", "purchase")]
    assert _most_liked(_read(tmp_path, rows)[0]) == ["b", "a"]


def test_one_event_long_after_all_others_does_not_decide_what_sells(tmp_path: Path) -> None:
    rows: list[_Row] = [(f"u{n}", "ab"[n > 30], _AT + n, "purchase", None) for n in range(40)]
    rows.append(("late", "c", _AT + 900 * _DAY, "purchase", None))
    assert _most_liked(_read(tmp_path, rows)[0])[0] == "a"


def test_an_event_of_the_year_9999_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text(
        "user_id,item_id,timestamp\n" + "".join(f"u{n},a,{_AT + n}\n" for n in range(30)) + "u,c,9999-12-31\n"
    )
    events, skipped = read_interactions(tmp_path / "i.csv")
    assert (len(events), skipped.total) == (30, 1)
    assert "later than tomorrow" in skipped.lines()[0]


def test_a_file_in_which_nothing_counts_names_the_kinds_that_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no known kind.*purchase.*60|60.*no known kind.*purchase"):
        _read(tmp_path, [(f"u{n}", "a", _AT, "1", None) for n in range(60)])


_PRODUCTS = "item_id,title\na,red lamp\nb,blue hat\n"
_EVENTS = "user_id,item_id,timestamp\n" + "".join(f"u{n},a,{_AT + n}\n" for n in range(9)) + f"u1,gone,{_AT}\n"


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_how_many_events_are_about_products_is_told(empty_home: Path, tmp_path: Path) -> None:
    run = CliRunner()
    run.invoke(catalogue_commands, ["load", str(_file(tmp_path / "c.csv", _PRODUCTS))])
    done = run.invoke(interaction_commands, ["load", str(_file(tmp_path / "i.csv", _EVENTS))])
    assert "10 interactions loaded" in done.stdout
    assert "9 interactions are about products of the catalogue in use" in done.stdout
    [made] = train(["recommend"])
    assert (made.metrics["events"], made.metrics["events_matched"]) == (10, 9)


def test_events_about_no_product_are_an_error_whose_remedies_help(empty_home: Path, tmp_path: Path) -> None:
    events = _file(tmp_path / "i.csv", _EVENTS.replace(",a,", ",P-a,"))
    shop.import_catalogue(_file(tmp_path / "c.csv", _PRODUCTS))
    with pytest.raises(DataError, match=r"none of 10 .*'P-a'.*'a'.*Load the catalogue they are about first"):
        shop.import_interactions(events)
    assert shop.interactions_path() is None, "nothing was loaded"
    shop.import_catalogue(_file(tmp_path / "p.csv", _PRODUCTS.replace("a,red", "P-a,red")))
    assert shop.import_interactions(events).matched == 9

    other = shop.import_catalogue(_file(tmp_path / "c.csv", _PRODUCTS))
    assert (other.matched, "load those of this catalogue" in other.hint) == (0, True)
    with pytest.raises(DataError, match=r"or remove .*interactions\.csv") as problem:
        train(["recommend"])
    Path(str(problem.value).split("or remove ")[1].split(" to train")[0]).unlink()
    assert [made.label for made in train(["recommend"])] == ["recommend@1"]


def test_events_may_be_loaded_before_their_catalogue(empty_home: Path, tmp_path: Path) -> None:
    first = shop.import_interactions(_file(tmp_path / "i.csv", _EVENTS))
    assert first.matched == 0
    assert "standfast catalogue load" in first.hint
    assert shop.import_catalogue(_file(tmp_path / "c.csv", _PRODUCTS)).matched == 9


def test_the_strength_of_a_take_back_is_compared_within_its_pair_alone(tmp_path: Path) -> None:
    """With many pairs, some of them refunded, the numbers of pairs and the strengths must not get mixed."""
    draw = np.random.default_rng(0)
    kinds = ["view", "cart", "purchase", "remove_from_cart", "refund"]
    rows: list[_Row] = [
        (f"u{draw.integers(60)}", f"i{draw.integers(60)}", _AT + n, kinds[draw.integers(5)], None) for n in range(6_000)
    ]
    events = _read(tmp_path, rows, "i.parquet")[0]
    wanted = []
    for user in {row[0] for row in rows}:
        wanted += [
            (user, event.timestamp)
            for event in liked([Seen(item_id=i, event=e, timestamp=t) for u, i, t, e, _ in rows if u == user])
        ]
    assert sorted(zip([events.users[u] for u in events.user], events.at.tolist(), strict=True)) == sorted(wanted)
