"""The settings: environment variables and a `.env` file, read once, passed on explicitly."""

from worker.settings.loading import (
    DB_URL,
    RENAMED,
    given,
    load_database_url,
    load_settings,
    renamed_settings,
    settings_names,
)
from worker.settings.model import DEFAULT_BUCKET, LEGACY_KEY, DatabaseSettings, Settings

__all__ = [
    "DB_URL",
    "DEFAULT_BUCKET",
    "LEGACY_KEY",
    "RENAMED",
    "DatabaseSettings",
    "Settings",
    "given",
    "load_database_url",
    "load_settings",
    "renamed_settings",
    "settings_names",
]
