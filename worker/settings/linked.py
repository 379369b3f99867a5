"""The database of the project that `supabase link` has chosen for a folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit

POOLER_FILE = Path("supabase/.temp/pooler-url")  # what `supabase link` writes: no password in it
TRANSACTION_PORT, SESSION_PORT = 6543, 5432  # the pooler's; the first keeps no session


def linked_database(folder: Path, password: str) -> str | None:
    """Return the URL of the session pooler of the project that `folder` is linked to, if it is.

    Like the CLI, it looks in the folder and in those above.
    """
    for above in (folder, *folder.parents):
        try:
            parts = urlsplit((above / POOLER_FILE).read_text(encoding="utf-8").strip())
            port = SESSION_PORT if parts.port in {None, TRANSACTION_PORT} else parts.port
        except (OSError, ValueError):  # not there, or no URL
            continue
        login = f"{parts.username}:{quote(password, safe='')}"
        return f"{parts.scheme}://{login}@{parts.hostname}:{port}{parts.path}"
    return None
