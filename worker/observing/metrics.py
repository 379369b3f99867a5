"""The metrics and their names. Other modules report what happened; only this one counts.

About this worker, since it started:

- `c3d_worker_sessions_total{outcome,code}`: sessions processed: `completed`, `duplicate`,
  `failed`, `pending` (to be retried), `set_aside` (its row refuses to be changed) or `lost`; the
  code of the error, or "".
- `c3d_worker_step_seconds{step}`: histogram of `download`, `read` (with the wait for a free
  child) and `complete`, whether the step succeeded or not.
- `c3d_worker_lease_losses_total`: sessions whose lease went to another while it worked on them.
- `c3d_worker_realtime_ready`: 1 while inserts are heard, else 0.
- `c3d_worker_realtime_deaf`: 1 while Realtime says that all is well and no probe is heard, else 0.
- `c3d_worker_realtime_reconnects_total`: Realtime connections that ended or never got ready; each
  is followed by a new one.
- `c3d_worker_objects_total{outcome}`: uploads taken in: `session`, `duplicate`, `skipped`,
  `refused`.
- `c3d_worker_cache_hits_total`: uploads whose content already had a session.
- `c3d_worker_webhooks_total{status}`: webhooks answered, by HTTP status.
- `c3d_worker_held_files`, `c3d_worker_held_bytes`: fresh uploads that lie in the temporary folder
  until their sessions are read.
- `c3d_worker_previews_total{outcome}`: pictures of sessions: `made`, `made_later` (from another
  download), `failed` (it is attempted again) or `no_room` (too many waited: it is made later).
- `c3d_worker_previews_waiting_bytes`: memory that holds what is still to be drawn.
- `c3d_worker_supabase_up`: 1 if Supabase answered the last query, else 0.
- `process_*`: memory, processor time and open files of the worker itself.

About the queue, the same on every worker, and absent while Supabase does not answer in time:

- `c3d_queue_sessions{status}`: sessions by status; about right where more than 10,000 are completed
  or skipped.
- `c3d_queue_failed{code}`: failed sessions by the code of their error.
- `c3d_queue_due`: sessions that wait and are not put off.
- `c3d_queue_oldest_due_age_seconds`: since when the longest waiting one is due; 0: none is.
- `c3d_queue_set_aside`: sessions whose rows refuse to be changed.
- `c3d_queue_stuck`: sessions in a hand whose lease ran out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.backend.queue_report import QueueReport

STEP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)  # seconds

disable_created_metrics()  # type: ignore[no-untyped-call] # they double the output unused
_registry = CollectorRegistry()
ProcessCollector(registry=_registry)

_sessions = Counter(
    "c3d_worker_sessions", "Sessions processed.", ["outcome", "code"], registry=_registry
)
_step_seconds = Histogram(
    "c3d_worker_step_seconds",
    "Seconds of each step of a session.",
    ["step"],
    buckets=STEP_BUCKETS,
    registry=_registry,
)
_lease_losses = Counter(
    "c3d_worker_lease_losses", "Leases that went to another worker.", registry=_registry
)
_realtime_ready = Gauge(
    "c3d_worker_realtime_ready", "Whether inserts are heard.", registry=_registry
)
_realtime_deaf = Gauge(
    "c3d_worker_realtime_deaf", "Whether Realtime is joined and hears nothing.", registry=_registry
)
_realtime_reconnects = Counter(
    "c3d_worker_realtime_reconnects", "Realtime connections that ended.", registry=_registry
)
_objects = Counter(
    "c3d_worker_objects", "Uploads that were taken in.", ["outcome"], registry=_registry
)
_cache_hits = Counter(
    "c3d_worker_cache_hits", "Uploads whose content was known.", registry=_registry
)
_webhooks = Counter(
    "c3d_worker_webhooks", "Webhooks answered, by status.", ["status"], registry=_registry
)
_held_files = Gauge(
    "c3d_worker_held_files", "Fresh uploads in the temporary folder.", registry=_registry
)
_held_bytes = Gauge("c3d_worker_held_bytes", "The bytes of these.", registry=_registry)
_previews = Counter("c3d_worker_previews", "Pictures of sessions.", ["outcome"], registry=_registry)
_previews_waiting = Gauge(
    "c3d_worker_previews_waiting_bytes", "Memory of what is to be drawn.", registry=_registry
)
_supabase_up = Gauge(
    "c3d_worker_supabase_up", "Whether Supabase answered the last look.", registry=_registry
)


class _Queue(Collector):
    """The gauges of the queue from the last report; without a report there are none."""

    report: QueueReport | None = None

    def collect(self) -> Iterator[Metric]:
        if self.report is None:
            return
        report = self.report
        yield _family("queue_sessions", "Sessions by status.", "status", report.by_status)
        yield _family("queue_failed", "Failed sessions by code.", "code", report.failed_by_code)
        yield _family("intake_uploads", "Uploads by outcome.", "outcome", report.by_outcome)
        yield _family(
            "intake_waiting",
            "Uploads that were put off, by what they wait for.",
            "code",
            report.uploads_waiting_by_code,
        )
        yield _family(
            "intake_refused", "Refused uploads by code.", "code", report.uploads_refused_by_code
        )
        for name, meaning, value in (
            ("queue_due", "Sessions that wait and are not put off.", report.due),
            (
                "queue_oldest_due_age_seconds",
                "Seconds since the longest waiting session could first have been read.",
                report.oldest_due_age_seconds or 0.0,
            ),
            ("queue_stuck", "Sessions whose worker stopped.", report.stuck),
            ("queue_set_aside", "Sessions whose rows refuse to be changed.", report.set_aside),
            ("intake_due", "Uploads that wait and are not put off.", report.uploads_due),
            (
                "intake_oldest_age_seconds",
                "Seconds since the oldest upload without an outcome was announced.",
                report.uploads_oldest_age_seconds or 0.0,
            ),
        ):
            yield GaugeMetricFamily(f"c3d_{name}", meaning, value=value)


_queue = _Queue()
_registry.register(_queue)


def session_done(outcome: str, code: str | None, seconds: Mapping[str, float]) -> None:
    """Count a processed session, and the `seconds` of each step that it went through."""
    _sessions.labels(outcome, code or "").inc()
    for step, took in seconds.items():
        _step_seconds.labels(step).observe(took)


def lease_lost() -> None:
    """Count a session that another worker claimed while this one worked on it."""
    _lease_losses.inc()


def realtime_ready() -> None:
    """Note that the listener hears inserts."""
    _realtime_ready.set(1)
    _realtime_deaf.set(0)


def realtime_lost(*, deaf: bool) -> None:
    """Note that inserts are not heard, and count the connection that ended."""
    _realtime_ready.set(0)
    _realtime_deaf.set(deaf)
    _realtime_reconnects.inc()


def object_taken(outcome: str) -> None:
    """Count an upload that was taken in."""
    _objects.labels(outcome).inc()


def cache_hit() -> None:
    """Count an upload whose content already had a session."""
    _cache_hits.inc()


def webhook_answered(status: int) -> None:
    """Count a webhook by the HTTP status of its answer."""
    _webhooks.labels(str(status)).inc()


def preview(outcome: str) -> None:
    """Count a picture that was made, or was not."""
    _previews.labels(outcome).inc()


def show_held(files: Callable[[], int], size: Callable[[], int]) -> None:
    """Show how many files the worker holds between the phases, and their size in bytes."""
    _held_files.set_function(files)
    _held_bytes.set_function(size)


def show_waiting_previews(size: Callable[[], int]) -> None:
    """Show how many bytes of memory hold what is still to be drawn."""
    _previews_waiting.set_function(size)


def exposition(report: QueueReport | None, *, reachable: bool) -> bytes:
    """Return all metrics in Prometheus' text format, those of the queue from `report`."""
    _queue.report = report
    _supabase_up.set(reachable)
    return generate_latest(_registry)


def _family(name: str, meaning: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"c3d_{name}", meaning, labels=[label])
    for value, sessions in values.items():
        family.add_metric([value], sessions)
    return family
