"""Text from a C3D file, in a form that PostgreSQL accepts.

The format knows no encoding. What is not UTF-8 was most likely written by a program for Windows.
"""

from __future__ import annotations

import unicodedata

# With which most UTF-8 characters of names begin. As Windows-1252 they are A with a circumflex and
# with a tilde, and a with a circumflex, with which hardly a name ends.
COMMON_LEADS = (b"\xc2", b"\xc3", b"\xe2")


def cleaned_text(raw: bytes) -> str:
    """Decode as UTF-8, else Windows-1252; drop NUL and control characters; trim the ends.

    UTF-8 that the width of its field cuts in the middle of a character loses that character only.
    """
    text = _decoded(raw.rstrip(b"\0"))
    if not text.isprintable():
        text = "".join(character for character in text if unicodedata.category(character) != "Cc")
    return text.strip()


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        whole, cut = raw[: error.start], raw[error.start :]
        is_cut = error.reason == "unexpected end of data"
    if is_cut and (not whole.isascii() or len(cut) > 1 or cut in COMMON_LEADS):
        return whole.decode("utf-8")
    return raw.decode("cp1252", errors="ignore")  # it leaves five bytes undefined
