"""For people and machines that watch: does the worker live, can it serve, what did it do."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from worker.backend.queued_uploads import ClaimedObject
from worker.backend.realtime_listener import RealtimeListener
from worker.backend.sessions import ClaimedSession
from worker.errors import WorkerError
from worker.intake.reconciliation import Reconciliation
from worker.observing import metrics
from worker.observing.watchdog import Watchdog
from worker.queueing.claim_loop import ClaimLoop
from worker.service.queue_stats import QueueStats

TURNING = "turning"


@dataclass(frozen=True, slots=True)
class HealthService:
    """Answers `/healthz`, `/readyz` and `/metrics`; none of them names a session or a file."""

    watchdogs: tuple[Watchdog, Watchdog]  # of the loops of sessions and of uploads
    stats: QueueStats
    loop: ClaimLoop[ClaimedSession]
    intake: ClaimLoop[ClaimedObject]
    reconciliation: Reconciliation
    realtime: RealtimeListener

    def routes(self) -> list[Route]:
        """Return the three routes."""
        return [
            Route("/healthz", self.health),
            Route("/readyz", self.readiness),
            Route("/metrics", self.measurements),
        ]

    async def health(self, _: Request) -> Response:
        """Say whether the claim loops turn; if not, only a restart of the worker helps."""
        silence = max(each.silence_seconds for each in self.watchdogs)
        if all(each.alive for each in self.watchdogs):
            return PlainTextResponse("The claim loops turn.\n")
        sentence = f"A claim loop has stood still for {silence:.0f} s.\n"
        return PlainTextResponse(sentence, HTTPStatus.SERVICE_UNAVAILABLE)

    async def readiness(self, _: Request) -> Response:
        """Say whether uploads and sessions are served.

        Without Realtime the poll finds them, so its loss is told and nothing more.
        """
        reachable = await self.stats.reachable()
        parts = {
            "sessions": _state(self.loop.trouble, self.watchdogs[0]),
            "uploads": _state(self.intake.trouble, self.watchdogs[1]),
            "reconciliation": _state(self.reconciliation.trouble),
        }
        ready = reachable and all(state == TURNING for state in parts.values())
        said = {
            "ready": ready,
            "supabase": "reachable" if reachable else "unreachable",
            "realtime": self.realtime.state.word,
            **parts,
        }
        return JSONResponse(said, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def measurements(self, _: Request) -> Response:
        """Give every measurement; without Supabase those of the queue are left out."""
        reachable = await self.stats.reachable()
        report = await self.stats.look() if reachable else None
        content = metrics.exposition(report, reachable=reachable)
        return Response(content, media_type=CONTENT_TYPE_LATEST)


def _state(trouble: WorkerError | None, watchdog: Watchdog | None = None) -> str:
    if watchdog and not watchdog.alive:
        return "stuck"
    return f"paused: {trouble.code}" if trouble else TURNING
