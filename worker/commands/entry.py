"""What a command on a project does first: read the settings and begin to log."""

from __future__ import annotations

import structlog

from worker.errors import SettingError
from worker.observing.logs import configure_logs
from worker.settings import Settings, load_settings, renamed_settings
from worker.settings.near_misses import near_misses

log = structlog.get_logger(__name__)


def load(level: str | None = "WARNING") -> Settings:
    """Read the settings and begin to log: from `level` on, or with None as the settings say.

    A command itself says what was done, so it logs only what is wrong.

    Raises:
        SettingError: as `load_settings`; it names what may be a misspelt setting as well.
    """
    misspelt = near_misses()
    try:
        settings = load_settings()
    except SettingError as error:
        meant = (f"{name} is set: is {like} meant?" for name, like in misspelt.items())
        raise SettingError(" ".join((str(error), *meant))) from None
    configure_logs(level or settings.log_level, settings.log_format)
    for old, new in renamed_settings().items():
        log.warning("setting_renamed", old=old, new=new)
    for name, like in misspelt.items():
        log.warning("setting_unknown", name=name, meant=like)
    return settings
