"""`installation_report()` on databases that lack one thing or another."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.conftest import CreateDatabase
from tests.integration.databases import connected, execute
from tests.integration.migrating import apply
from worker.check.schema import RELATIONS
from worker.local.postgres import SUPERUSER, as_role

SECRET = "whsec_" + "A" * 43 + "="


async def report(url: str) -> dict[str, Any]:
    """Return the report as the worker gets it."""
    async with connected(url, role="service_role") as database:
        found: dict[str, Any] = json.loads(
            await database.fetchval("select public.installation_report()")
        )
    return found


async def test_the_report_of_a_new_project(migrated_database: str) -> None:
    found = await report(migrated_database)
    assert sorted(found["relations"]) == sorted(RELATIONS)
    assert found["publication"] == {"inserts": True, "sessions": True, "bells": True}
    assert (found["pg_net"], found["pgcrypto"]) == (True, True)
    assert found["upload_trigger"]["enabled"]
    assert set(found["functions"].values()) == {False}
    empty = {"vault": True, "url": None, "secret_well_formed": None, "secret_sha256": None}
    assert found["webhook"] == empty


async def test_the_secret_never_leaves_the_database(migrated_database: str) -> None:
    await execute(
        migrated_database,
        f"select vault.create_secret('https://me:pw@a.example/x?y#z', 'c3d_webhook_url');"
        f"select vault.create_secret('{SECRET}', 'c3d_webhook_secret')",
    )
    found = await report(migrated_database)
    assert found["webhook"] == {
        "vault": True,
        "url": "https://a.example/x",
        "secret_well_formed": True,
        "secret_sha256": hashlib.sha256(SECRET.encode()).hexdigest(),
    }
    assert SECRET not in json.dumps(found)


async def test_a_database_with_none_of_supabases_parts(blank_database: CreateDatabase) -> None:
    await lacks_everything(await blank_database())


async def test_the_same_on_postgresql_15(blank_database_15: CreateDatabase) -> None:
    await lacks_everything(await blank_database_15())


async def lacks_everything(url: str) -> None:
    bare = "drop schema storage, vault, net cascade; drop publication supabase_realtime"
    await execute(as_role(url, SUPERUSER), bare + "; drop extension pgcrypto cascade")
    await apply(url)
    await apply(url)
    await execute(as_role(url, SUPERUSER), "drop publication supabase_realtime")
    found = await report(url)
    assert found["webhook"] == {"vault": False}
    assert found["publication"] is None
    assert found["upload_trigger"] is None
    assert (found["pg_net"], found["pgcrypto"]) == (False, False)
