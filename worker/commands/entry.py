"""What a command does first: read the settings and begin to log; and the exit codes of them all."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import structlog

from worker.dry_run.errors import PackageMissingError
from worker.errors import SetupError, StackError
from worker.observing.logs import configure_logs
from worker.settings import Settings, load_settings, renamed_settings

REFUSED, WRONG_CALL = 1, 2  # exit codes
EXTRAS: Mapping[
    str, tuple[str, type[SetupError]]
] = {  # of pyproject.toml: what for, what is raised
    "local": ("The local stack", StackError),
    "dry-run": ("A dry run", PackageMissingError),
}

log = structlog.get_logger(__name__)


def load(level: str | None = "WARNING") -> Settings:
    """Read the settings and begin to log: from `level` on, or with None as the settings say.

    A command itself says what was done, so it logs only what is wrong.
    """
    settings = load_settings()
    configure_logs(level or settings.log_level, settings.log_format)
    for old, new in renamed_settings().items():
        log.warning("setting_renamed", old=old, new=new)
    return settings


def extra(module: str, name: str = "local") -> Any:
    """Import what the worker itself does without, and what the extra `name` installs."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        what, missing = EXTRAS[name]
        raise missing(
            f"{what} needs {error.name}. "
            f"Install it with `pip install 'c3d-session-worker[{name}]'`."
        ) from None
