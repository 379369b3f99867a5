"""For people and machines that watch: does the worker live, can it serve, what did it do."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from worker.backend.realtime_listener import RealtimeListener
from worker.observing import metrics
from worker.observing.watchdog import Watchdog
from worker.processing.claim_loop import ClaimLoop
from worker.service.queue_stats import QueueStats


@dataclass(frozen=True, slots=True)
class HealthService:
    """Answers `/healthz`, `/readyz` and `/metrics`; none of them names a session or a file."""

    watchdog: Watchdog
    stats: QueueStats
    loop: ClaimLoop
    realtime: RealtimeListener

    def routes(self) -> list[Route]:
        """Return the three routes."""
        return [
            Route("/healthz", self.health),
            Route("/readyz", self.readiness),
            Route("/metrics", self.measurements),
        ]

    async def health(self, _: Request) -> Response:
        """Say whether the claim loop turns; if not, only a restart of the worker helps."""
        if self.watchdog.alive:
            return PlainTextResponse("The claim loop turns.\n")
        sentence = f"The claim loop has stood still for {self.watchdog.silence_seconds:.0f} s.\n"
        return PlainTextResponse(sentence, HTTPStatus.SERVICE_UNAVAILABLE)

    async def readiness(self, _: Request) -> Response:
        """Say whether sessions are served.

        Without Realtime the sweep finds them, so its loss is told and nothing more.
        """
        reachable = await self.stats.reachable()
        sweep = self._sweep()
        ready = reachable and sweep == "turning"
        said = {
            "ready": ready,
            "supabase": "reachable" if reachable else "unreachable",
            "realtime": "ready" if self.realtime.ready else "lost",
            "sweep": sweep,
        }
        return JSONResponse(said, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def measurements(self, _: Request) -> Response:
        """Give every measurement; without Supabase those of the queue are left out."""
        reachable = await self.stats.reachable()
        report = await self.stats.look() if reachable else None
        content = metrics.exposition(report, reachable=reachable)
        return Response(content, media_type=CONTENT_TYPE_LATEST)

    def _sweep(self) -> str:
        if not self.watchdog.alive:
            return "stuck"
        return f"paused: {self.loop.trouble.code}" if self.loop.trouble else "turning"
