"""LitServe over HTTP: our batch size, a batch timeout of 5 ms, one worker, one API server."""

from __future__ import annotations

import litserve
import msgspec

from bench.peers.computing import Computing, kind
from bench.peers.task import Task, given
from bench.requests import Request
from schemas.records import Result

_WAIT_S = 0.005  # longest wait for a batch to fill


class Api(litserve.LitAPI):  # type: ignore[misc]
    """The model behind LitServe's hooks."""

    def __init__(self, task: Task) -> None:
        super().__init__(max_batch_size=task.batch, batch_timeout=_WAIT_S)
        self._task = task

    def setup(self, device: str) -> None:  # noqa: ARG002 - the task names the device
        """Loads the model, in the worker's process."""
        self._kind = kind(self._task.service)
        self._computing = Computing(self._task)

    # Without annotations, as in LitServe's documentation: it derives its endpoint's types from them.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """The request from LitServe's parsed JSON."""
        return msgspec.convert(request, self._kind)

    def encode_response(self, output):  # type: ignore[no-untyped-def]
        """The answer in the form that LitServe writes as JSON."""
        return msgspec.to_builtins(output)

    def batch(self, inputs: list[Request]) -> list[Request]:
        """The inputs unchanged: the model takes a list."""
        return inputs

    def predict(self, x: list[Request]) -> list[Result]:
        """The answers to a batch."""
        return self._computing.results(x)

    def unbatch(self, output: list[Result]) -> list[Result]:
        """The answers unchanged: they are a list already."""
        return output


def main(task: Task) -> None:
    """Serves until it is killed."""
    server = litserve.LitServer(Api(task), accelerator="cpu", workers_per_device=1, timeout=False)
    server.run("127.0.0.1", task.port, num_api_servers=1, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main(given())
