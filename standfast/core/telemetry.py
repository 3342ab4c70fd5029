"""All metrics Standfast exports, and how the processes of one machine share one scrape target.

With `PROMETHEUS_MULTIPROC_DIR` set (the supervisor sets it for its children) each process writes its values to
memory-mapped files named after its *slot* (`search-0`, `stream`, …), not its pid: a successor continues the files of a
killed process, so SIGKILL loses no counts and dead processes leave no files. The stages' names map one to one to
Triton's: queue, compute_input, compute_infer, compute_output, request. Times are seconds.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Collection, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

from standfast.core.metrics_files import Collector, ValuesFile

SLOT_VARIABLE = "STANDFAST_SLOT"
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_slot = os.environ.get(SLOT_VARIABLE, "main")


def _write_to_files() -> None:
    values.MmapedDict = ValuesFile  # type: ignore[attr-defined]
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: _slot)  # type: ignore[no-untyped-call]


if FOLDER_VARIABLE in os.environ:
    _write_to_files()


class BatchHistogram(Histogram):
    """A histogram of requests that takes a whole batch in one call: 0.1 µs per request instead of 2."""

    def observe_all(self, values: Sequence[float]) -> None:
        """Observes each of the values."""
        for bucket, count in Counts(bisect_left(self._upper_bounds, value) for value in values).items():
            self._buckets[bucket].inc(count)
        self._sum.inc(sum(values))


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_BY_MODEL = ("topic", "model", "version")

REQUESTS = Counter("standfast_requests", "Requests answered, by the status of the answer.", (*_BY_MODEL, "status"))
FAILURES = Counter(
    "standfast_request_failures",
    "Requests not served, by reason; each is in the .dlq topic.",
    ("topic", "reason"),
)
REQUEST = BatchHistogram(
    "standfast_request_seconds",
    "From a request's record timestamp to its committed answer.",
    _BY_MODEL,
    buckets=_SECONDS,
)
QUEUE = BatchHistogram(
    "standfast_queue_seconds", "From a request's record timestamp to its batch.", _BY_MODEL, buckets=_SECONDS
)
COMPUTE_INPUT = Histogram(
    "standfast_compute_input_seconds", "Decoding and admitting one batch.", _BY_MODEL, buckets=_SECONDS
)
COMPUTE_INFER = Histogram(
    "standfast_compute_infer_seconds", "The model's time for one batch.", _BY_MODEL, buckets=_SECONDS
)
COMPUTE_OUTPUT = Histogram(
    "standfast_compute_output_seconds", "Encoding the answers of one batch.", _BY_MODEL, buckets=_SECONDS
)
COMMIT = Histogram(
    "standfast_commit_seconds",
    "Producing and committing one batch's answers and offsets.",
    ("topic",),
    buckets=_SECONDS,
)
BATCH_SIZE = Histogram("standfast_batch_size", "Requests in one batch.", _BY_MODEL, buckets=_SIZES)
CACHE_LOOKUPS = Counter(
    "standfast_cache_lookups",
    "Queries looked up in a worker's cache: hit, miss, or shared with the same query of its batch.",
    ("topic", "result"),
)
BREAKER_OPEN = Gauge(
    "standfast_breaker_open",
    "Workers that answer `overloaded` because their model fails on every request.",
    ("topic",),
    multiprocess_mode="mostrecent",
)
WRONG_ANSWERS = Counter(
    "standfast_wrong_answers",
    "Answers of a model that were not published: not_finite, duplicate, no_id, too_many or too_few products.",
    ("service", "reason"),
)
OUT_OF_MEMORY = Counter(
    "standfast_out_of_memory", "Batches that did not fit into memory and were computed in halves.", ("service",)
)
DAMAGED_WEIGHTS = Counter(
    "standfast_damaged_weights",
    "Processes that found a bit of their model's weights changed in memory and ended: a worker or a nursery.",
    ("service", "process"),
)
MODEL_REFUSED = Gauge(
    "standfast_model_refused",
    "1 while the active version of a service's model cannot be loaded; an earlier one, or none, serves.",
    ("service",),
    multiprocess_mode="mostrecent",
)
CANARY_SHARE = Gauge(
    "standfast_canary_share",
    "Share of the keys that the challenger is to answer; 0 in a shadow, or when its canary is over.",
    ("service", "version"),
    multiprocess_mode="mostrecent",
)
CHALLENGER_REQUESTS = Counter(
    "standfast_challenger_requests",
    "Requests of a challenger: computed; failed, so that the champion answered; or shed in the shadow under load.",
    ("service", "version", "outcome"),
)
MODEL_CALL = Histogram(
    "standfast_model_call_seconds",
    "One call of a model, whatever its batch: of champion and challenger, while there are both.",
    ("service", "version"),
    buckets=_SECONDS,
)
SHADOW_OVERLAP = Histogram(
    "standfast_shadow_overlap",
    "Overlap@10 of the challenger's answer with the champion's to the same request, 0 to 1.",
    ("service", "version"),
    buckets=(0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
)
CANARIES_ENDED = Counter(
    "standfast_canaries_ended",
    "Canaries and shadows that ended by themselves: errors, slow, overlap or deaths.",
    ("service", "reason"),
)
CHALLENGER_REFUSED = Gauge(
    "standfast_challenger_refused",
    "1 while a service's challenger cannot be loaded; the champion serves alone.",
    ("service",),
    multiprocess_mode="mostrecent",
)
BATCH_RELEASES = Counter(
    "standfast_batch_releases",
    "Batches, by why each was released: full, budget (of bytes) reached, or drained: nothing more waited.",
    ("topic", "reason"),
)
COMMIT_RETRIES = Counter(
    "standfast_commit_retries",
    "Transactions that were aborted and done again, by reason.",
    ("topic", "reason"),
)
READ_REFUSALS = Counter(
    "standfast_read_refusals",
    "How often Kafka began to refuse a worker its reads, by its error.",
    ("topic", "reason"),
)
WAITED = Counter(
    "standfast_waiting_seconds",
    "Time that workers waited for Kafka: for the last batch's commit with the next one ready, or for topics that "
    "requests name to acknowledge their replies.",
    ("topic", "waits_for"),
)
LAG = Gauge(
    "standfast_lag_records",
    "Records behind the end of the partition, as its owner last saw it.",
    ("topic", "partition"),
    multiprocess_mode="mostrecent",
)
RESTARTS = Counter("standfast_worker_restarts", "Workers replaced, by why the last one ended.", ("service", "reason"))
FAILOVER = Histogram(
    "standfast_failover_seconds",
    "From seeing a worker's end to its partitions being served by another.",
    ("service",),
    buckets=_SECONDS,
)
WORKERS = Gauge(
    "standfast_workers",
    "Worker processes by role and state.",
    ("service", "role", "state"),
    multiprocess_mode="mostrecent",
)
ROLE_RESTARTS = Counter(
    "standfast_role_restarts",
    "How often the stream processor, the drill runner or a broker was started again.",
    ("role",),
)
ROLE_FAILING = Gauge(
    "standfast_role_failing",
    "1 while the stream processor, the drill runner or a broker keeps ending; `status` says with what error.",
    ("role",),
    multiprocess_mode="mostrecent",
)
WORKERS_WANTED = Gauge(
    "standfast_workers_wanted",
    "Workers a service is to have, by its settings, by hand or by its load.",
    ("service",),
    multiprocess_mode="mostrecent",
)
SCALING_STEPS = Counter(
    "standfast_scaling_steps",
    "Changes of the number of workers, up or down, by why: by_hand, limits, backlog, refusals or idle.",
    ("service", "direction", "reason"),
)
DAMAGED = Counter(
    "standfast_damaged_batches",
    "Batches of requests or answers passed over because they could not be unpacked; the log has the offsets.",
    ("topic",),
)
DELETED_UNREAD = Counter(
    "standfast_records_deleted_unread",
    "Offsets that Kafka deleted before they were read, by its retention or by hand; the log has them.",
    ("topic",),
)
PROFILE_UPDATES = Counter("standfast_profile_updates", "Interactions folded into profiles.", ())
PROFILES_COMPLETE = Gauge(
    "standfast_profiles_complete",
    "1 once this host's store of profiles has all that the topic holds; until then recommendations are `degraded`.",
    (),
    multiprocess_mode="mostrecent",
)
PROFILES_BYTES = Gauge(
    "standfast_profiles_bytes", "Size of this host's store of profiles.", (), multiprocess_mode="mostrecent"
)
CATALOGUE_PRODUCTS = Gauge(
    "standfast_catalogue_products",
    "Products in the topic `catalogue`, by what it says of them: changed (or new) or deleted.",
    ("state",),
    multiprocess_mode="mostrecent",
)
CATALOGUE_UNREADABLE = Counter(
    "standfast_catalogue_unreadable",
    "Records of the topic `catalogue` passed over, by why: unreadable, malformed, key, empty_title or too_long.",
    ("reason",),
)
CATALOGUE_COMPLETE = Gauge(
    "standfast_catalogue_complete",
    "1 once this host has read the topic `catalogue` to its end.",
    (),
    multiprocess_mode="mostrecent",
)
CATALOGUE_WAITING = Gauge(
    "standfast_catalogue_waiting",
    "Products that changed and with which a worker or standby does not answer yet; of each, the one with the most.",
    ("service",),
    multiprocess_mode="max",
)
ANSWERS_SHOWN = Counter("standfast_answers_shown", "Answers with products, by model version.", ("service", "model"))
ANSWERS_HIT = Counter(
    "standfast_answers_hit", "Answers of which a product was viewed, clicked or bought.", ("service", "model")
)
FEEDBACK = Counter(
    "standfast_feedback", "Interactions with products of answers, each counted once.", ("service", "model", "event")
)
FEEDBACK_DROPPED = Counter(
    "standfast_feedback_dropped", "Interactions that got no label, because too many waited for answers to be read.", ()
)
PRODUCTS_SHOWN = Gauge(
    "standfast_products_shown",
    "Different products in the answers that are remembered for feedback.",
    ("service", "model"),
    multiprocess_mode="mostrecent",
)
WINDOW_RECORDS = Gauge(
    "standfast_window_records", "Records in the last full window.", ("topic",), multiprocess_mode="mostrecent"
)
WINDOW_LATENCY = Gauge(
    "standfast_window_latency_seconds",
    "Latency of the answers in the last full window.",
    ("topic", "quantile"),
    multiprocess_mode="mostrecent",
)
DRILLS = Counter("standfast_drills", "Drills ended, by verdict.", ("drill", "verdict"))
DRILL_FAULT = Gauge(
    "standfast_drill_fault",
    "1 from the injection of a drill's first fault until all are undone.",
    ("drill",),
    multiprocess_mode="mostrecent",
)


def label(value: str, known: Collection[str]) -> str:
    """The value if it is known, else `other`: values made up by callers must not create a time series each."""
    return value if value in known else "other"


def become(slot: str) -> None:
    """Makes this process write its metrics under `slot` from now on; call it first after a fork."""
    global _slot  # noqa: PLW0603 - prometheus_client asks for it by a callback
    _slot = slot


def share(folder: Path, slot: str) -> None:
    """Makes this process, started without the variables, and its children share their metrics.

    This covers only metrics with labels that were not used before, since their values are created at first use.
    """
    os.environ.update(environment(folder, slot))
    become(slot)
    _write_to_files()


def environment(folder: Path, slot: str) -> dict[str, str]:
    """The variables that make a child process share its metrics; creates the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return {FOLDER_VARIABLE: str(folder), SLOT_VARIABLE: slot}


def shared_registry(folder: Path) -> CollectorRegistry:
    """A registry that adds up the values of all slots in the folder."""
    registry = CollectorRegistry()
    Collector(registry, folder)
    return registry
