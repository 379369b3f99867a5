"""`c3d-worker run`: the worker itself. Why it ends, its log says as it says everything else."""

from __future__ import annotations

import asyncio

import structlog
import typer

from worker.commands.entry import load
from worker.commands.exits import WRONG_CALL
from worker.errors import WorkerError
from worker.observing.logs import configure_logs
from worker.observing.sd_notify import tell
from worker.service.run import run as serve
from worker.settings import given

log = structlog.get_logger(__name__)


def run_worker() -> None:
    """Serve sessions until stopped: hear, claim, download, read, complete."""
    form: str | None = None
    try:
        settings = load(None)
        form = settings.log_format
        asyncio.run(serve(settings))
    except WorkerError as error:
        form = form or given().get("LOG_FORMAT")  # of settings that are wrong
        tell(f"{error.code}: {error}")
        if form != "json":
            raise
        configure_logs("ERROR", "json")
        log.error("worker_failed", code=error.code, reason=str(error))
        raise typer.Exit(WRONG_CALL) from None
