"""The parameters that this project reads; it never decodes anything else in a file.

Names of people (SUBJECTS:PLAYER_NAME, INFO:GROUP_ID, INFO:THERAPIST_ID) are absent on purpose.
"""

from __future__ import annotations

GAME = {
    "INFO": (
        "SYSTEM",
        "VERSION",
        "EVENT",
        "GAME_NAME",
        "GAME_LEVEL",
        "GAME_LEVEL_NAME",
        "OPTIMIZED",
        "DURATION",
        "TIME",
    ),
    "SUBJECTS": ("GAME_SCORE",),
}

# Group → regular expression of names. More than 255 channels continue in LABELS2, SCALE2 …
WANTED = {
    "POINT": "USED|RATE|SCALE|FRAMES|LONG_FRAMES|DATA_START",
    "ANALOG": r"USED|RATE|FORMAT|BITS|GEN_SCALE|(LABELS|UNITS|SCALE|OFFSET)(\d{1,2})?",
    "TRIAL": "ACTUAL_START_FIELD|ACTUAL_END_FIELD",
    "ROTATION": "USED|DATA_START|RATIO|RATE|FRAMES",
    **{group: "|".join(names) for group, names in GAME.items()},
}

SPARED = frozenset({*GAME, "ROTATION"})  # groups that are never worth a recording

# What a damaged section must still contain: anything else may be lost after the damage.
ESSENTIAL = frozenset({("POINT", "USED"), ("POINT", "RATE")})
ESSENTIAL_ANALOG = frozenset({("ANALOG", "USED"), ("ANALOG", "RATE"), ("ANALOG", "LABELS")})
