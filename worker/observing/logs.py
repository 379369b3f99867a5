"""Logs: one event per change of state, for people on a console or as JSON lines."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from typing import Literal

import structlog

# Loggers that are silenced: they log URLs, and the URL of Realtime contains the key.
LEAKING = ("httpx", "httpcore", "hpack", "websockets", "realtime")


def configure_logs(least: str, form: Literal["console", "json"]) -> None:
    """Send this project's events, and the libraries' warnings and errors, to stderr.

    Args:
        least: the least severe level of the events, as LOG_LEVEL names it.
        form: for people, or one JSON object a line.
    """
    level = logging.getLevelNamesMapping()[least]
    render: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
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
    # Records of other packages, such as asyncio's warnings, get the same format.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                render,
            ]
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in LEAKING:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def traceback_locations(error: BaseException) -> str:
    """Return the class of an error and the lines it passed through, innermost first.

    Logs contain this in place of a traceback: an error's message can contain a file's name, and a
    file's name can name a patient.
    """
    frames = reversed(traceback.extract_tb(error.__traceback__))
    lines = (f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return f"{type(error).__name__} at {' < '.join(lines)}"
