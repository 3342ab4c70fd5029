"""The closed-loop client for peers with an HTTP API: as `bench.closed_loop`, over persistent connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

import aiohttp
import msgspec

from bench.requests import Request
from bench.timings import Timings
from standfast.core.errors import NoAnswer

_PATIENCE_S = 60.0  # for one answer
_RETRY_S = 0.05  # after a refused connection
_JSON = {"Content-Type": "application/json"}


class _HttpAnswer(msgspec.Struct):
    status: str


class HttpLoop:
    """One client with as many connections as requests in flight. `watch`: see `bench.closed_loop.ClosedLoop`."""

    def __init__(self, url: str, watch: Callable[[], None] = lambda: None) -> None:
        self._url = url
        self._watch = watch
        self._runner = asyncio.Runner()
        self._session = self._runner.run(_session())
        self._decoder = msgspec.json.Decoder(_HttpAnswer)

    def run(self, requests: Sequence[Request], in_flight: int, patience_s: float = _PATIENCE_S) -> Timings:
        """Sends the requests in order, at most `in_flight` unanswered; raises NoAnswer after `patience_s`."""
        return self._runner.run(self._run(requests, in_flight, patience_s))

    def close(self) -> None:
        """Closes all connections."""
        self._runner.run(self._session.close())
        self._runner.close()

    async def _run(self, requests: Sequence[Request], in_flight: int, patience_s: float) -> Timings:
        timings = Timings(seconds=[0.0] * len(requests))
        numbers = iter(range(len(requests)))
        began = time.perf_counter()
        # Each sender takes the next request once its last is answered, which keeps `in_flight` requests in flight.
        senders = (self._send_in_turn(numbers, requests, timings, patience_s) for _ in range(in_flight))
        await asyncio.gather(*senders)
        timings.elapsed = time.perf_counter() - began
        return timings

    async def _send_in_turn(
        self, numbers: Iterator[int], requests: Sequence[Request], timings: Timings, patience_s: float
    ) -> None:
        for number in numbers:
            body = msgspec.json.encode(msgspec.structs.replace(requests[number], request_id=str(number)))
            began = time.perf_counter()
            ok = await self._answered(body, began + patience_s)
            timings.seconds[number] = time.perf_counter() - began
            timings.not_ok += not ok

    async def _answered(self, body: bytes, deadline: float) -> bool:
        """Whether the answer is good; tries again while the connection is refused, as it is during a start."""
        while True:
            try:
                async with self._session.post(self._url, data=body, headers=_JSON) as response:
                    answer = await response.read()
                    return response.status == 200 and self._decoder.decode(answer).status == "ok"
            except aiohttp.ClientConnectionError:
                self._watch()
                if time.perf_counter() > deadline:
                    raise NoAnswer(f"no answer from {self._url}") from None
                await asyncio.sleep(_RETRY_S)


async def _session() -> aiohttp.ClientSession:
    limits = aiohttp.ClientTimeout(total=_PATIENCE_S)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=limits)
