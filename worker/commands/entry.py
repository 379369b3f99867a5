"""What a command does first: read the settings and begin to log; and the exit codes of them all."""

from __future__ import annotations

import importlib
from typing import Any

import structlog

from worker.errors import StackError
from worker.observing.logs import configure_logs
from worker.settings import Settings, load_settings, renamed_settings

REFUSED, WRONG_CALL = 1, 2  # exit codes

log = structlog.get_logger(__name__)


def load(level: str | None = "WARNING") -> Settings:
    """Read the settings and begin to log: from `level` on, or with None as the settings say.

    A command itself says what was done, so it logs only what is wrong.
    """
    settings = load_settings()
    configure_logs(settings.model_copy(update={"log_level": level}) if level else settings)
    for old, new in renamed_settings().items():
        log.warning("setting_renamed", old=old, new=new)
    return settings


def extra(module: str) -> Any:
    """Import what the worker itself does without."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise StackError(
            f"The local stack needs {error.name}. "
            "Install it with `pip install 'c3d-session-worker[local]'`."
        ) from None
