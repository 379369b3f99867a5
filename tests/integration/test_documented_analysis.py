"""The Python of docs/analyse.md does what the page says, on real tables and a real recording."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.conftest import PROJECT
from tests.integration.harness import Harness
from tests.integration.uploads import RECORDING

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HELD = """
assert sessions["state"].tolist() == ["completed"]
assert sessions["channels"].tolist() == [4]
assert channels["name"].tolist() == names
assert names == ["CH1 Raw", "CH2 Raw", "CH1 activated", "CH2 activated"]
assert signals.shape == (4, 4950)
assert abs(seconds[-1] - 5.0) < 0.01
assert np.allclose(np.sqrt(np.mean(signals**2, axis=1)), channels["rms"], rtol=1e-4)
"""


async def test_the_snippets_lead_from_the_tables_to_arrays(
    harness: Harness, tmp_path: Path
) -> None:
    async with harness.worker(tmp_path, POLL_SECONDS="1") as worker:
        await worker.until("realtime_ready")
        await harness.session(RECORDING)
        await worker.until("session_done")
    blocks = BLOCK.findall((PROJECT / "docs" / "analyse.md").read_text(encoding="utf-8"))
    assert len(blocks) == 3
    assert all(len(block.strip().splitlines()) <= 15 for block in blocks)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "\n".join([*blocks, HELD])),
        cwd=tmp_path,
        env={
            **os.environ,
            "SUPABASE_URL": harness.stack.url,
            "SUPABASE_SECRET_KEY": harness.stack.secret_key,
        },
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
