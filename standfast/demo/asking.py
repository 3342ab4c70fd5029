"""The demo's first three steps: searches, two customers, and a purchase that changes what comes next."""

from __future__ import annotations

import json
import time

from msgspec.structs import replace
from rich.console import Console
from rich.markup import escape

from schemas.records import Interaction, RecommendRequest, Result
from standfast.answer_table import table_of
from standfast.caller import Caller
from standfast.demo.console_tools import produce
from standfast.demo.promises import Promise

QUERIES = ("white hanging heart", "lunch bag", "christmas decoration")
CUSTOMERS = ("17850", "12583")
_SHOWN = 3
_COMPARED = 10
_ANSWER_WITHIN_S = 30.0
_CHANGE_WITHIN_S = 10.0
_ASK_AGAIN_S = 0.1


def searches(caller: Caller, console: Console) -> list[Promise]:
    """Sends three searches by Kafka's own console producer, as three lines of JSON, and shows the answers."""
    requests = {f"demo-{number}": query for number, query in enumerate(QUERIES, 1)}
    lines = [json.dumps({"request_id": name, "query": query, "k": _SHOWN}) for name, query in requests.items()]
    produce("search.requests", lines, console)
    answers = caller.answers(requests, _ANSWER_WITHIN_S)
    for name, query in requests.items():
        console.print(f"\n[bold]{escape(query)}[/]")
        console.print(table_of(answers[name]) if name in answers else "[red]no answer[/]")
    answered = sum(1 for result in answers.values() if result.status == "ok" and result.items)
    return [Promise("every search is answered", answered == len(requests), f"{answered} of {len(requests)}")]


def two_customers(caller: Caller, console: Console) -> list[Promise]:
    """Asks for recommendations for two customers of the sample shop, and compares them."""
    lists = []
    for user in CUSTOMERS:
        result = _recommended(caller, user)
        console.print(f"\n[bold]customer {user}[/]")
        console.print(table_of(_first(result, _SHOWN)))
        lists.append([item.item_id for item in result.items])
    common = len(set(lists[0]) & set(lists[1]))
    kept = all(lists) and lists[0] != lists[1]
    return [Promise("two customers get different advice", kept, f"{common} of {_COMPARED} in common")]


def a_purchase(caller: Caller, console: Console) -> list[Promise]:
    """The first customer buys the first product recommended, and asks again until the recommendations change."""
    user = CUSTOMERS[0]
    before = _recommended(caller, user)
    bought = before.items[0]
    console.print(f"\nCustomer {user} buys [bold]{escape(bought.title)}[/].")
    began = time.monotonic()
    caller.send(Interaction(user_id=user, item_id=bought.item_id, event="purchase", value=1.0))
    while time.monotonic() - began < _CHANGE_WITHIN_S:
        after = _recommended(caller, user)
        if bought.item_id not in {item.item_id for item in after.items}:
            seconds = time.monotonic() - began
            console.print(f"[bold]after {seconds:.1f} s[/]")
            console.print(table_of(_first(after, _SHOWN)))
            return [Promise("a purchase changes the next advice", kept=True, seen=f"after {seconds:.1f} s")]
        time.sleep(_ASK_AGAIN_S)
    return [Promise("a purchase changes the next advice", kept=False, seen=f"not within {_CHANGE_WITHIN_S:g} s")]


def _recommended(caller: Caller, user: str) -> Result:
    return caller.ask(RecommendRequest(user_id=user, k=_COMPARED), _ANSWER_WITHIN_S)


def _first(result: Result, count: int) -> Result:
    return replace(result, items=result.items[:count])
