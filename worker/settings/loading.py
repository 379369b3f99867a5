"""Reads the settings, and says in a sentence which is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values, find_dotenv
from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from worker.errors import SettingError
from worker.settings.linked import linked_database
from worker.settings.model import LEGACY_KEY, DatabaseSettings, Settings

DB_URL, DB_PASSWORD = "SUPABASE_DB_URL", "SUPABASE_DB_PASSWORD"  # the CLI's names
RENAMED: Mapping[str, str] = {  # old names, which are still read
    "SWEEP_SECONDS": "POLL_SECONDS",
    "DRAIN_SECONDS": "SHUTDOWN_TIMEOUT_SECONDS",
}
NUMBERS = {"int_parsing": "a whole number", "float_parsing": "a number"}


def load_settings(**overrides: Any) -> Settings:
    """Read the environment, then the nearest `.env` at or above the working directory.

    Raises:
        SettingError: a setting is missing or malformed; the sentence names it and its cure.
    """
    file = _env_file()
    try:
        return Settings(_env_file=file, **overrides)
    except UnicodeDecodeError:
        raise SettingError(_not_utf_8(file)) from None
    except ValidationError as error:
        raise SettingError(_sentences(error)) from None  # the cause would repeat the values


def load_database_url() -> SecretStr:
    """Read SUPABASE_DB_URL from the environment, or from the nearest `.env`.

    Without it, it is the database of the CLI's linked project, with SUPABASE_DB_PASSWORD.

    Raises:
        SettingError: it is missing or malformed; the sentence never repeats it.
    """
    file = _env_file()
    try:
        return DatabaseSettings(_env_file=file, **_linked(file)).supabase_db_url
    except UnicodeDecodeError:
        raise SettingError(_not_utf_8(file)) from None
    except ValidationError as error:
        (fault,) = error.errors(include_input=False, include_url=False)
        raise SettingError(
            f"{DB_URL} {_what_is_wrong(fault)}. Set it in the environment or in a file .env: the "
            "project's dashboard shows it under Connect (session pooler, or direct connection). In "
            f"a folder that `supabase link` has linked to the project, {DB_PASSWORD} is enough."
        ) from None


def renamed_settings() -> dict[str, str]:
    """Return the old names that are set, each with the name that replaces it."""
    names = given()
    return {old: new for old, new in RENAMED.items() if old in names}


def given(environment: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """Return what the nearest `.env` and the environment, which counts more, have by each name.

    The values are not judged, and those of a file that is not UTF-8 may be garbled.
    """
    written: Mapping[str, str | None] = {}
    if file := _env_file():
        try:
            written = dotenv_values(file)
        except UnicodeDecodeError:
            written = dotenv_values(file, encoding="latin-1")
    filled = {name: value for name, value in environment.items() if value}
    return {
        name.upper(): value
        for source in (environment, written, filled)
        for name, value in source.items()
    }


def settings_names() -> frozenset[str]:
    """Every environment variable that is read."""
    return frozenset(name.upper() for name in Settings.model_fields) | {
        LEGACY_KEY,
        DB_URL,
        DB_PASSWORD,
        *RENAMED,
    }


def _linked(env_file: str | None) -> dict[str, Any]:
    """Return SUPABASE_DB_URL of a linked project, where it is not set and its password is."""
    values = {**(dotenv_values(env_file) if env_file else {}), **os.environ}
    if values.get(DB_URL) or not (password := values.get(DB_PASSWORD)):
        return {}
    found = linked_database(Path.cwd(), password)
    return {DB_URL.lower(): found} if found else {}


def _env_file() -> str | None:
    return find_dotenv(usecwd=True) or None


def _not_utf_8(file: str | None) -> str:
    return f"{file} is not UTF-8 text. Save it again with that encoding."


def _sentences(error: ValidationError) -> str:
    """Say for each wrong setting its name, what is wrong, and where to set it."""
    faults = error.errors(include_input=False, include_url=False)
    wrong = [f"{str(fault['loc'][0]).upper()} {_what_is_wrong(fault)}" for fault in faults]
    where = "Set it in the environment or in a file .env"
    if any(fault["type"] == "missing" for fault in faults):
        where += (
            ": a Supabase project shows both in its API settings; `c3d-worker local --env-file "
            ".env` starts one on this machine and writes them"
        )
    return f"{'; '.join(wrong)}. {where}."


def _what_is_wrong(fault: ErrorDetails) -> str:
    kind = fault["type"]
    if kind == "missing":
        return "is not set"
    if kind in NUMBERS:
        return f"is wrong: must be {NUMBERS[kind]}"
    return f"is wrong: {fault['msg'].removeprefix('Value error, ')}"
