"""`standfast up` with the sample shop's trained models on the test run's Kafka, for tests that change its products.

Run as `python -m tests.support.changing_shop SERVICE …`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from schemas.records import Item, RecommendRequest, SearchRequest, ServiceRequest
from standfast import system
from standfast.caller import Caller
from standfast.core import settings
from standfast.core.processes.parent_death import tie_to_parent
from tests.support.desk import Desk
from tests.support.toys.toys import Toys
from tests.waiting import wait_until

SEARCHABLE_S = 30.0  # bounds a wait; on an idle machine a change takes less than a second


class ChangingShop(Toys):
    """One such system, and a client that writes to its topic `catalogue` and asks it."""

    module = "tests.support.changing_shop"

    def __init__(self, home: Path, servers: str, prefix: str, trained: Path, **more: str) -> None:
        super().__init__(home, servers, prefix, ("search", "recommend"), STANDFAST_SEARCH__CACHE="100", **more)
        home.mkdir(parents=True, exist_ok=True)
        shutil.copytree(trained / "models", home / "models")
        self.desk = Desk(self.settings)
        self._caller: Caller | None = None

    @property
    def caller(self) -> Caller:
        """A client that asks; made when there are topics."""
        self._caller = self._caller or Caller(self.settings)
        return self._caller

    def close(self) -> None:
        """Stops the system and closes the client."""
        if self._caller is not None:
            self._caller.close()
        self.stop()

    def put(self, item_id: str, title: str, **more: object) -> None:
        """Writes a product to the topic."""
        self.desk.send("catalogue", json.dumps({"item_id": item_id, "title": title, **more}).encode(), item_id.encode())

    def delete(self, item_id: str) -> None:
        """Writes a tombstone."""
        self.desk.send("catalogue", None, item_id.encode())

    def search(self, query: str, k: int = 5) -> list[Item]:
        """The products that are found."""
        return self._items(SearchRequest(query=query, k=k))

    def recommended(self, k: int = 100) -> list[Item]:
        """What is recommended to somebody who is not known."""
        return self._items(RecommendRequest(user_id=None, k=k))

    def found_first(self, query: str, item_id: str, title: str) -> None:
        """Waits until a query finds this product first, with this title."""

        def found() -> bool:
            return [(item.item_id, item.title) for item in self.search(query)[:1]] == [(item_id, title)]

        wait_until(found, SEARCHABLE_S, what=f"{item_id} first for {query!r}")

    def gone(self, query: str, item_id: str) -> None:
        """Waits until a query does not find this product any more."""
        wait_until(
            lambda: item_id not in {item.item_id for item in self.search(query, 100)},
            SEARCHABLE_S,
            what=f"an answer to {query!r} without {item_id}",
        )

    def model(self, service: str) -> str:
        """The version that answers."""
        request = SearchRequest(query="lamp") if service == "search" else RecommendRequest()
        return self.caller.ask(request, 60).model

    def _items(self, request: ServiceRequest) -> list[Item]:
        answer = self.caller.ask(request, 60)
        assert answer.status == "ok", answer.error
        return answer.items


def main(services: list[str]) -> None:
    tie_to_parent(os.getppid())
    system.run(settings.load(), services=tuple(services), roles=("profiles", "catalogue"), embedded=False)


if __name__ == "__main__":
    main(sys.argv[1:])
