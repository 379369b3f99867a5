"""Text from a C3D file, in a form that PostgreSQL accepts."""

from __future__ import annotations

import unicodedata


def cleaned_text(raw: bytes) -> str:
    """Decode as UTF-8, else Latin-1; drop NUL and control characters; trim the ends."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if not text.isprintable():
        text = "".join(character for character in text if unicodedata.category(character) != "Cc")
    return text.strip()
