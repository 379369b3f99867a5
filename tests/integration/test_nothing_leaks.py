"""No log, metric, answer or output repeats a key, a secret, or the name of a file or patient.

The sentences in the tables do name the file: they are for those who may read the tables.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import httpx

from tests.faults.proxy import OBJECTS, Proxy
from tests.faults.rules import cut, lose_reply, say, spoil
from tests.integration.command_line import command
from tests.integration.harness import UNFINISHED, Harness
from tests.integration.uploads import RECORDING, numbered, wait_over
from worker.local.announcing import announce_uploads
from worker.local.worker_process import WorkerProcess

NAME = "Mustermann-Erika"
PATIENT = "P4711"
STORAGE_500 = json.dumps({"statusCode": "500", "message": f"cannot read {PATIENT}/{NAME}.c3d"})
REST_500 = json.dumps({"code": "XX000", "message": "Something went wrong."})


async def upload(harness: Harness, number: int, content: bytes | None = None) -> None:
    await harness.upload(content or numbered(number), f"{PATIENT}/{NAME}-{number}.c3d")


async def run_fault(harness: Harness, proxy: Proxy) -> None:
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
            await upload(harness, number)
            await harness.session(numbered(20 + number), path=f"{PATIENT}/{NAME}-{20 + number}.c3d")
            await asyncio.sleep(1.2)
    await upload(harness, 10, RECORDING[: len(RECORDING) // 2])
    await upload(harness, 11, b"This is no recording.")
    await harness.session(numbered(12), uploaded=False, path=f"{PATIENT}/{NAME}-12.c3d")
    await harness.database.execute("delete from vault.secrets")  # the sweep alone finds the last
    ninth = f"{OBJECTS}{PATIENT}/{NAME}-9"
    with proxy.trouble(ninth, say(200)) as rule:  # another size than Storage says
        await upload(harness, 9)
        async with asyncio.timeout(60):  # until a sweep is over its pause
            await rule.applied.wait()
        await asyncio.sleep(1.0)


async def finished(harness: Harness, sessions: int) -> None:
    async with asyncio.timeout(90):
        while sum((await harness.counts()).values()) < sessions:
            await asyncio.sleep(0.1)
        while await harness.database.fetchval(UNFINISHED):
            await asyncio.sleep(0.1)


async def lines(worker: WorkerProcess) -> str:
    """Stop the worker and return everything it logged."""
    await worker.stop()
    return "\n".join([str(event) async for event in worker.follow(until="worker_stopped")])


async def test_nothing_planted_gets_out(harness: Harness, tmp_path: Path) -> None:
    await harness.announces(harness.bucket)
    webhook = await announce_uploads(harness.stack)
    planted = (NAME, harness.stack.secret_key, webhook["WEBHOOK_SECRET"])
    quick = {"POLL_SECONDS": "1", "BUCKET_SWEEP_SECONDS": "1", "MAX_ATTEMPTS": "2"}
    async with Proxy(harness.stack).serve() as proxy:
        through = replace(harness, stack=proxy.stack)
        async with through.worker(tmp_path, **webhook, **quick) as worker:
            await worker.until("realtime_ready")
            await run_fault(harness, proxy)
            await wait_over(harness)
            await finished(harness, 16)
            async with httpx.AsyncClient() as http:
                server = f"http://127.0.0.1:{webhook['HTTP_PORT']}"
                metrics = (await http.get(f"{server}/metrics")).text
                ready = (await http.get(f"{server}/readyz")).text
            logged = await lines(worker)
    answers = await harness.database.fetch("select content from net._http_response")
    _, checked, complained = await command(harness.stack, tmp_path, "check", "--json", **webhook)
    for event in (
        "webhook_heard",
        "object_taken",
        "session_done",
        "supabase_unavailable",
        "object_put_off",
        "poll_failed",
    ):
        assert event in logged
    said = [logged, metrics, ready, checked, complained, *(str(row["content"]) for row in answers)]
    for text in said:
        for secret in planted:
            assert secret not in text
    for text in (logged, metrics):
        assert PATIENT not in text
