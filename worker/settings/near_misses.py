"""Names that look like a setting and are none: a misspelt one would be ignored without a word."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches

from worker.settings.loading import given, settings_names

# Of 1 at most: HTTP_PROXY, which is no setting of this project, is like HTTP_PORT by 0.84.
LIKE_ENOUGH = 0.87


def near_misses(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the names in the environment and the `.env` that are nearly a setting's, with that.

    A name counts only while the setting that it is like is not set itself.
    """
    names = given(environment).keys()
    known = settings_names()
    found = {
        name: get_close_matches(name, known - names, n=1, cutoff=LIKE_ENOUGH)
        for name in sorted(names - known)
    }
    return {name: like[0] for name, like in found.items() if like}
