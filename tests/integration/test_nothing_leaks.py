"""No log, metric, answer or output repeats a key, a secret, or the name of a file or patient.

The sentences in the tables do name the file: they are for those who may read the tables.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.faults.proxy import OBJECTS, Proxy
from tests.faults.rules import cut, lose_reply, say, spoil
from tests.integration.clinic import Clinic
from tests.integration.command_line import command
from tests.integration.uploads import RECORDING, empty_clinic, numbered, wait_over
from worker.local.announcing import announce_uploads
from worker.local.stack import StackInfo
from worker.local.worker_process import WorkerProcess

NAME = "Mustermann-Erika"
PATIENT = "P4711"
STORAGE_500 = json.dumps({"statusCode": "500", "message": f"cannot read {PATIENT}/{NAME}.c3d"})
REST_500 = json.dumps({"code": "XX000", "message": "Something went wrong."})
UNFINISHED = """select count(*) from public.therapy_sessions
                where processing_status in ('pending', 'processing')"""


@pytest.fixture
async def clinic(migrated_stack: StackInfo) -> AsyncIterator[Clinic]:
    async with empty_clinic(migrated_stack) as opened:
        yield opened


async def upload(clinic: Clinic, number: int, content: bytes | None = None) -> None:
    await clinic.upload(content or numbered(number), f"{PATIENT}/{NAME}-{number}.c3d")


async def suffer(clinic: Clinic, proxy: Proxy) -> None:
    """Upload amid every kind of trouble that has something to say."""
    troubles = [
        (OBJECTS, say(500, STORAGE_500)),
        (OBJECTS, say(502)),
        (OBJECTS, cut),
        (OBJECTS, spoil),
        ("^/rest/", say(500, REST_500)),
        ("^/rest/", lose_reply),
    ]
    for number, (path, trouble) in enumerate(troubles):
        with proxy.trouble(path, trouble):
            await upload(clinic, number)
            await clinic.session(numbered(20 + number), path=f"{PATIENT}/{NAME}-{20 + number}.c3d")
            await asyncio.sleep(1.2)
    await upload(clinic, 10, RECORDING[: len(RECORDING) // 2])
    await upload(clinic, 11, b"This is no recording.")
    await clinic.session(numbered(12), uploaded=False, path=f"{PATIENT}/{NAME}-12.c3d")
    await clinic.database.execute("delete from vault.secrets")  # the sweep alone finds the last
    ninth = f"{OBJECTS}{PATIENT}/{NAME}-9"
    with proxy.trouble(ninth, say(200)) as rule:  # another size than Storage says
        await upload(clinic, 9)
        async with asyncio.timeout(60):  # until a sweep is over its pause
            await rule.struck.wait()
        await asyncio.sleep(1.0)


async def finished(clinic: Clinic, sessions: int) -> None:
    async with asyncio.timeout(90):
        while sum((await clinic.counts()).values()) < sessions:
            await asyncio.sleep(0.1)
        while await clinic.database.fetchval(UNFINISHED):
            await asyncio.sleep(0.1)


async def lines(worker: WorkerProcess) -> str:
    """Stop the worker and return everything it logged."""
    await worker.stop()
    return "\n".join([str(event) async for event in worker.follow(until="worker_stopped")])


async def test_nothing_planted_gets_out(clinic: Clinic, tmp_path: Path) -> None:
    webhook = await announce_uploads(clinic.stack)
    planted = (NAME, clinic.stack.secret_key, webhook["WEBHOOK_SECRET"])
    quick = {"SWEEP_SECONDS": "1", "BUCKET_SWEEP_SECONDS": "1", "MAX_ATTEMPTS": "2"}
    async with Proxy(clinic.stack).serve() as proxy:
        through = replace(clinic, stack=proxy.stack)
        async with through.worker(tmp_path, **webhook, **quick) as worker:
            await worker.until("realtime_ready")
            await suffer(clinic, proxy)
            await wait_over(clinic)
            await finished(clinic, 16)
            async with httpx.AsyncClient() as http:
                face = f"http://127.0.0.1:{webhook['HTTP_PORT']}"
                metrics = (await http.get(f"{face}/metrics")).text
                ready = (await http.get(f"{face}/readyz")).text
            logged = await lines(worker)
    answers = await clinic.database.fetch("select content from net._http_response")
    _, checked, complained = await command(clinic.stack, tmp_path, "check", "--json", **webhook)
    for event in (
        "webhook_heard",
        "object_taken",
        "session_done",
        "supabase_in_trouble",
        "object_put_off",
        "bucket_sweep_failed",
    ):
        assert event in logged
    said = [logged, metrics, ready, checked, complained, *(str(row["content"]) for row in answers)]
    for text in said:
        for secret in planted:
            assert secret not in text
    for text in (logged, metrics):
        assert PATIENT not in text
