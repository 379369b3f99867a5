"""Logs: one event for each change of state, for people on a console or as JSON lines."""

from __future__ import annotations

import logging
import sys

import structlog

from worker.settings import Settings

# Their records hold URLs, and a Realtime URL holds the key.
TALKATIVE = ("httpx", "httpcore", "hpack", "websockets", "realtime")


def configure_logs(settings: Settings) -> None:
    """Send this project's events, and the libraries' errors, to stderr."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    render: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
