"""A worker as the client library's documentation suggests one: select, update, download, upsert.

    python -m benchmarks.straightforward [WATCH_SECONDS]

It takes one session after another and trusts that nothing ever goes wrong. It says `ready`, and
after each line on its input it works until nothing is pending and says `done`; with WATCH_SECONDS
it looks again and again instead.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import time
import warnings
from typing import Any

import c3d
import numpy as np
from supabase import Client, create_client

TECHNICAL, SESSIONS = "c3d_technical_data", "therapy_sessions"


def process_next(supabase: Client) -> bool:
    """Process the oldest pending session, if there is one."""
    sessions = supabase.table(SESSIONS)
    pending = (
        sessions.select("*").eq("processing_status", "pending").order("created_at").limit(1)
    ).execute()
    if not pending.data:
        return False
    session: Any = pending.data[0]
    mine = session["id"]
    supabase.table(SESSIONS).update({"processing_status": "processing"}).eq("id", mine).execute()
    content = supabase.storage.from_("c3d-files").download(session["file_path"])
    technical, statistics = read(content)
    supabase.table(TECHNICAL).upsert({"session_id": mine, **technical}).execute()
    finished = {
        "processing_status": "completed",
        "analytics_cache": statistics,
        "file_hash": hashlib.sha256(content).hexdigest(),
        "hash_measured_at": "now",  # else the session would be left to a worker
    }
    supabase.table(SESSIONS).update(finished).eq("id", mine).execute()
    return True


def read(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the technical columns and each channel's statistics with the package c3d."""
    reader = c3d.Reader(io.BytesIO(content))
    analog = np.concatenate([samples for _, _, samples in reader.read_frames()], axis=1)
    names = [label.strip() for label in reader.analog_labels][: len(analog)]
    frames = int(reader.last_frame) - int(reader.first_frame) + 1
    technical = {
        "original_sampling_rate": float(reader.analog_rate),
        "original_sample_count": analog.shape[1],
        "original_duration_seconds": analog.shape[1] / float(reader.analog_rate),
        "channel_count": len(analog),
        "channel_names": names,
        "sampling_rate": float(reader.point_rate),
        "frame_count": frames,
        "duration_seconds": frames / float(reader.point_rate),
    }
    statistics = {
        name: {
            "min": float(channel.min()),
            "max": float(channel.max()),
            "mean": float(channel.mean()),
            "rms": float(np.sqrt(np.mean(np.square(channel)))),
        }
        for name, channel in zip(names, analog, strict=False)
    }
    return technical, statistics


def main() -> None:
    """Work whenever told to, or whenever there is something."""
    warnings.simplefilter("ignore")
    supabase = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_SECRET_KEY"])
    print("ready", flush=True)
    if len(sys.argv) > 1:
        while True:
            if not process_next(supabase):
                time.sleep(float(sys.argv[1]))
    for _ in sys.stdin:
        while process_next(supabase):
            pass
        print("done", flush=True)


if __name__ == "__main__":
    main()
