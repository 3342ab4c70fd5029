"""A toy system with a console, and someone who looks at it: a signed-in browser without a screen."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from console import keys
from standfast.core.settings import KafkaSettings
from tests.support.toys.toys import PARTITIONS, START_S, Toys
from tests.waiting import wait_until


class WatchedToys(Toys):
    """With a Kafka of its own, the drill runner and the console."""

    module = "tests.support.toys.toy_watched"

    def __init__(self, home: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:  # a console that was restarted is at its old address
            port = str(free.getsockname()[1])
        more = {"STANDFAST_CONSOLE__ENABLED": "true", "STANDFAST_CONSOLE__PORT": port}
        super().__init__(home, "", "", ("search",), **more)

    def start(self) -> None:
        """Returns when the console answers too."""
        super().start()
        wait_until(lambda: self.status().console_url, START_S, what="a console")
        kafka = KafkaSettings(bootstrap_servers=self.status().bootstrap_servers, partitions=PARTITIONS)
        self.settings = self.settings.model_copy(update={"kafka": kafka})


class Onlooker:
    """Someone who is signed in."""

    def __init__(self, toys: WatchedToys) -> None:
        self.url = toys.status().console_url
        ours = {"Origin": self.url, "Sec-Fetch-Site": "same-origin"}
        self.client = httpx.Client(base_url=self.url, timeout=20, trust_env=False, headers=ours)
        token = keys.link(self.url).partition("#")[2]
        assert self.client.post("/sign-in", data={"token": token}).status_code == 303

    def page(self, path: str) -> str:
        """The page, as text."""
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, path: str, page: str, **fields: str) -> httpx.Response:
        """Submits a form of the page."""
        token = re.search(r'name="form_token" value="(\w+)"', page)
        assert token is not None, page
        return self.client.post(path, data={"form_token": token[1], **fields})


class Shown:
    """What a stream of events has made of a page: its panels, and the ages that came with the last event."""

    def __init__(self) -> None:
        self.panels: dict[str, str] = {}
        self.ages: dict[str, int] = {}
        self.ids: list[str] = []
        self.updates = 0

    def says(self, text: str) -> bool:
        """Whether a panel says it."""
        return any(text in html for html in self.panels.values())


@contextmanager
def shown(onlooker: Onlooker, path: str, last_id: str = "") -> Iterator[Shown]:
    """Follows a stream in a thread during the block."""
    seen, ending = Shown(), threading.Event()

    def follow() -> None:
        with suppress(httpx.TransportError):  # the console is gone
            read()

    def read() -> None:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        with onlooker.client.stream("GET", path, headers=headers) as answer:
            for line in answer.iter_lines():
                if ending.is_set():
                    return
                if line.startswith("id: "):
                    seen.ids.append(line[4:])
                if line.startswith("data: "):
                    news = json.loads(line[6:])
                    seen.panels.update(news["panels"])
                    seen.ages = news["ages"]
                    seen.updates += 1

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ending.set()
        thread.join(10)
