"""The parameters this project reads; nothing else in a file is ever decoded.

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
    **{group: "|".join(names) for group, names in GAME.items()},
}

# What must have been found where a section is damaged: the rest may lie behind the damage.
ESSENTIAL = frozenset({("POINT", "USED"), ("POINT", "RATE")})
ESSENTIAL_ANALOG = frozenset({("ANALOG", "USED"), ("ANALOG", "RATE"), ("ANALOG", "LABELS")})
