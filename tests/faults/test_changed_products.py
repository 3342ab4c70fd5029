"""A worker that is killed right after a product changed: whoever takes over answers with the change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.changing_shop import ChangingShop
from tests.waiting import wait_until


@pytest.fixture
def shop(broker: str, trained_shop: Path, tmp_path: Path) -> Iterator[ChangingShop]:
    one = {f"STANDFAST_{service}__WORKERS": "1" for service in ("SEARCH", "RECOMMEND")}
    made = ChangingShop(tmp_path / "home", broker, "changed-faults.", trained_shop, **one)
    made.start()
    yield made
    made.close()


def takeover(shop: ChangingShop) -> None:
    [worker] = shop.active()
    shop.kill(worker.pid)
    wait_until(lambda: [row.pid for row in shop.active()] not in ([], [worker.pid]), 60, what="an heir that serves")


def test_the_heir_of_a_killed_worker_answers_with_every_change_that_was_seen_before(shop: ChangingShop) -> None:
    for number, word in enumerate(("grimblewick", "zanthoril", "fendrake")):
        shop.put(f"NEW{number}", f"{word} lamp")
        shop.delete("85123A")
        shop.found_first(word, f"NEW{number}", f"{word} lamp")
        shop.gone("85123A", "85123A")
        takeover(shop)
        # Not at once: the heir may have been a moment behind its host's store. But without anything written again.
        shop.found_first(word, f"NEW{number}", f"{word} lamp")
        shop.gone("85123A", "85123A")
        shop.whole()
    [heir] = shop.active()
    assert heir.pid
    [item] = shop.search("grimblewick", 1)
    assert item.item_id == "NEW0", "heirs of heirs have the changes of before"


def test_a_worker_killed_in_the_moment_of_a_change_and_a_killed_follower_lose_no_change(shop: ChangingShop) -> None:
    shop.put("NEW9", "quillosby tray")
    [worker] = shop.active()
    shop.kill(worker.pid)
    shop.found_first("quillosby", "NEW9", "quillosby tray")
    follower = next(row for row in shop.status().roles if row.id == "catalogue")
    shop.kill(follower.pid)
    shop.put("NEW10", "pimberton tray")
    shop.found_first("pimberton", "NEW10", "pimberton tray")
    shop.whole()
