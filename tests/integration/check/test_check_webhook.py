"""What `c3d-worker check` finds between an upload and this worker: the trigger and the webhook."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from tests.integration.checking import broken, found_in, settings_for, verdicts
from tests.integration.migrating import MIGRATIONS as FOLDER
from worker.backend.installation import Installation
from worker.check.findings import Check, Verdict
from worker.check.upload_trigger import TRIGGER_MIGRATION, trigger
from worker.check.webhook import is_private, webhook
from worker.local.announcing import WEBHOOK_SECRET
from worker.local.migrated import connected
from worker.local.stack import StackInfo

OTHER_SECRET = f"whsec_{base64.b64encode(b'of another worker altogether').decode()}"
GOOD_URL = "https://user:password@worker.example.org/webhooks/storage?token=hidden"


@asynccontextmanager
async def in_vault(stack: StackInfo, url: str | None, secret: str | None) -> AsyncIterator[None]:
    """Store an address and a secret for a moment."""
    stored = "".join(
        f"select vault.create_secret('{value}', '{name}');"
        for name, value in (("c3d_webhook_url", url), ("c3d_webhook_secret", secret))
        if value
    )
    async with broken(stack, stored or "select", "delete from vault.secrets"):
        yield


async def test_a_webhook_that_fits_this_worker(own_stack: StackInfo) -> None:
    async with in_vault(own_stack, GOOD_URL, WEBHOOK_SECRET):
        found = await found_in(own_stack, webhook_secret=SecretStr(WEBHOOK_SECRET))
    assert verdicts(found) == {}
    assert found[Check.WEBHOOK][0].said == (
        "Webhooks go to https://worker.example.org/webhooks/storage, "
        "signed with this worker's secret."
    )


@pytest.mark.parametrize(
    ("url", "in_the_vault", "ours", "said"),
    [
        (GOOD_URL, OTHER_SECRET, WEBHOOK_SECRET, "is not this worker's"),
        (GOOD_URL, "a secret of another form", WEBHOOK_SECRET, "is not whsec_"),
        (GOOD_URL, None, WEBHOOK_SECRET, "Vault lacks c3d_webhook_secret"),
        (None, WEBHOOK_SECRET, WEBHOOK_SECRET, "Vault lacks c3d_webhook_url"),
        ("worker.example.org", WEBHOOK_SECRET, WEBHOOK_SECRET, "is no address"),
    ],
)
async def test_a_webhook_that_does_not_arrive(
    own_stack: StackInfo, url: str | None, in_the_vault: str | None, ours: str | None, said: str
) -> None:
    async with in_vault(own_stack, url, in_the_vault):
        found = await found_in(own_stack, webhook_secret=SecretStr(ours) if ours else None)
    (line,) = found[Check.WEBHOOK]
    assert line.verdict is Verdict.BAD
    assert said in line.said
    assert line.cure
    for secret in (WEBHOOK_SECRET, OTHER_SECRET, "a secret of another form", "password", "hidden"):
        assert secret not in line.said + line.cure


async def test_a_secret_without_an_address_is_a_warning(own_stack: StackInfo) -> None:
    found = await found_in(own_stack, webhook_secret=SecretStr(WEBHOOK_SECRET))
    assert verdicts(found) == {Check.WEBHOOK: Verdict.WARNING}
    assert "vault.create_secret" in found[Check.WEBHOOK][0].cure


async def test_uploads_that_announce_themselves_need_neither_webhook_nor_sweep(
    own_stack: StackInfo,
) -> None:
    found = await found_in(own_stack, bucket_sweep_seconds=0)
    assert verdicts(found) == {}
    (line,) = found[Check.WEBHOOK]
    assert (line.verdict, line.said) == (Verdict.NOTE, "none, and no worker needs one")
    assert found[Check.TRIGGER][0].said == "Uploads to c3d-files announce themselves."


async def test_a_webhook_may_be_for_another_receiver(own_stack: StackInfo) -> None:
    async with in_vault(own_stack, GOOD_URL, WEBHOOK_SECRET):
        found = await found_in(own_stack)
    assert verdicts(found) == {}
    assert "it has no WEBHOOK_SECRET" in found[Check.WEBHOOK][0].said


@pytest.mark.parametrize(
    ("url", "verdict", "said"),
    [
        ("http://127.0.0.1:8787/webhooks/storage", Verdict.BAD, "cannot reach 127.0.0.1"),
        ("https://worker.local/webhooks/storage", Verdict.BAD, "cannot reach worker.local"),
        ("http://worker.example.org/webhooks/storage", Verdict.WARNING, "in clear text"),
        ("https://worker.example.org/webhooks/storage", Verdict.GOOD, "signed"),
    ],
)
async def test_what_a_hosted_project_can_reach(
    own_stack: StackInfo, url: str, verdict: Verdict, said: str
) -> None:
    secret = SecretStr(WEBHOOK_SECRET)
    async with in_vault(own_stack, url, WEBHOOK_SECRET), connected(own_stack) as connection:
        report = await Installation(connection).report()
    hosted = settings_for(own_stack, supabase_url="https://abc.supabase.co", webhook_secret=secret)
    line = webhook(report, hosted)
    assert line.verdict is verdict
    assert said in line.said
    # A project on this machine reaches what is on this machine.
    if "127.0.0.1" in url:
        here = settings_for(own_stack, webhook_secret=secret)
        assert webhook(report, here).verdict is Verdict.GOOD


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("localhost", True),
        ("worker", True),
        ("worker.local", True),
        ("host.docker.internal", True),
        ("127.0.0.1", True),
        ("192.168.1.20", True),
        ("172.20.0.3", True),
        ("169.254.1.1", True),
        ("::1", True),
        ("fd00::1", True),
        ("8.8.8.8", False),
        ("worker.example.org", False),
        ("abc.supabase.co", False),
    ],
)
def test_private_addresses_are_told_by_their_form(host: str, *, private: bool) -> None:
    assert is_private(host) is private


NO_TRIGGER = (
    "drop trigger announce_upload on storage.objects",
    (FOLDER / TRIGGER_MIGRATION).read_text(),
)
DISABLED = (
    "alter table storage.objects disable trigger announce_upload",
    "alter table storage.objects enable trigger announce_upload",
)
EMPTY, ANOTHER = (
    (
        f"update public.worker_settings set bucket = {bucket}",
        "update public.worker_settings set bucket = 'c3d-files'",
    )
    for bucket in ("null", "'another'")
)


@pytest.mark.parametrize(
    ("change", "sweep", "sent_by", "expected"),
    [
        (
            NO_TRIGGER,
            60,
            None,
            (Verdict.WARNING, "is missing; the worker reads the bucket every 60"),
        ),
        (
            NO_TRIGGER,
            60,
            "vault",
            (Verdict.BAD, "is missing; the worker reads the bucket every 60"),
        ),
        (NO_TRIGGER, 60, "dashboard", (Verdict.WARNING, "the worker reads the bucket every 60 s")),
        (NO_TRIGGER, 0, None, (Verdict.BAD, "uploads get no session")),
        (NO_TRIGGER, 0, "vault", (Verdict.BAD, "uploads get no session")),
        (NO_TRIGGER, 0, "dashboard", (Verdict.WARNING, "only a webhook of the dashboard does it")),
        (
            DISABLED,
            60,
            None,
            (Verdict.WARNING, "is disabled; the worker reads the bucket every 60"),
        ),
        (EMPTY, 60, None, (Verdict.WARNING, "announces itself; the worker reads the bucket every")),
        (EMPTY, 60, "vault", (Verdict.WARNING, "announces itself; the worker reads the bucket")),
        (EMPTY, 0, None, (Verdict.NOTE, "that is left to another program")),
        (EMPTY, 0, "vault", (Verdict.WARNING, "announces itself; no webhook is sent")),
        (EMPTY, 0, "dashboard", (Verdict.NOTE, "that is left to a webhook of the dashboard")),
        (ANOTHER, 60, None, (Verdict.WARNING, "another bucket announce themselves: another")),
        (ANOTHER, 0, None, (Verdict.WARNING, "another bucket announce themselves: another")),
    ],
)
async def test_who_announces_uploads_where_the_trigger_does_not(
    own_stack: StackInfo,
    change: tuple[str, str],
    sweep: int,
    sent_by: str | None,
    expected: tuple[Verdict, str],
) -> None:
    verdict, said = expected
    stored = (GOOD_URL, WEBHOOK_SECRET) if sent_by == "vault" else (None, None)
    async with (
        in_vault(own_stack, *stored),
        broken(own_stack, *change),
        connected(own_stack) as connection,
    ):
        report = await Installation(connection).report()
    secret = SecretStr(WEBHOOK_SECRET) if sent_by else None
    settings = settings_for(own_stack, bucket_sweep_seconds=sweep, webhook_secret=secret)
    line = trigger(report, settings)
    assert line.verdict is verdict
    assert said in line.said
    assert bool(line.cure) is (verdict is not Verdict.NOTE)


async def test_only_recordings_announce_themselves_where_every_file_is_wanted(
    own_stack: StackInfo,
) -> None:
    found = await found_in(own_stack, other_files="skip")
    assert verdicts(found) == {Check.TRIGGER: Verdict.WARNING}
    assert found[Check.TRIGGER][0].said == "Only .c3d files announce themselves."


async def test_the_cure_of_a_missing_trigger_names_its_migration(own_stack: StackInfo) -> None:
    async with broken(own_stack, *NO_TRIGGER):
        found = await found_in(own_stack)
    assert verdicts(found) == {Check.TRIGGER: Verdict.WARNING}
    assert TRIGGER_MIGRATION in found[Check.TRIGGER][0].cure


async def test_pg_net_is_missed_where_a_webhook_is_wanted(own_stack: StackInfo) -> None:
    async with (
        in_vault(own_stack, GOOD_URL, WEBHOOK_SECRET),
        broken(own_stack, "alter schema net rename to off", "alter schema off rename to net"),
    ):
        found = await found_in(own_stack, webhook_secret=SecretStr(WEBHOOK_SECRET))
    assert verdicts(found) == {Check.WEBHOOK: Verdict.BAD}
    assert "create extension pg_net" in found[Check.WEBHOOK][0].cure


async def test_vault_is_missed_where_a_webhook_is_wanted(own_stack: StackInfo) -> None:
    async with broken(
        own_stack, "alter schema vault rename to off", "alter schema off rename to vault"
    ):
        found = await found_in(own_stack, webhook_secret=SecretStr(WEBHOOK_SECRET))
        without = await found_in(own_stack)
    assert verdicts(found) == {Check.WEBHOOK: Verdict.BAD}
    assert "supabase_vault" in found[Check.WEBHOOK][0].cure
    assert verdicts(without) == {}


async def test_a_vault_that_cannot_be_read_tells_its_state_only(own_stack: StackInfo) -> None:
    async with (
        in_vault(own_stack, GOOD_URL, WEBHOOK_SECRET),
        broken(
            own_stack,
            "alter view vault.decrypted_secrets rename column name to hidden",
            "alter view vault.decrypted_secrets rename column hidden to name",
        ),
    ):
        (line,) = (await found_in(own_stack))[Check.WEBHOOK]
    assert line.said == "Vault cannot be read (42703)."
