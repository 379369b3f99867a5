"""What a command on a project does first: read the settings and begin to log."""

from __future__ import annotations

import structlog

from worker.observing.logs import configure_logs
from worker.settings import Settings, load_settings, renamed_settings

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
