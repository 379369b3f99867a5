"""Makes the local stack announce its uploads to a worker on this machine."""

from __future__ import annotations

import asyncpg

from worker.intake.webhook_service import ADDRESS
from worker.local.ports import HOST, choose
from worker.local.stack import StackInfo

# Protects nothing: the stack and its worker listen on 127.0.0.1.
WEBHOOK_SECRET = "whsec_bG9jYWwgc3RhY2sgb25seSwgcHJvdGVjdHMgbm90aGluZw=="  # noqa: S105 - see above


async def announce_uploads(stack: StackInfo, *, secret: str = WEBHOOK_SECRET) -> dict[str, str]:
    """Store a worker's address and `secret` in Vault, and return the settings of that worker."""
    port = choose(0, "the webhook")
    database = await asyncpg.connect(stack.database_url)
    try:
        await database.execute("delete from vault.secrets where name like 'c3d_webhook_%'")
        for name, value in (
            ("c3d_webhook_url", f"http://{HOST}:{port}{ADDRESS}"),
            ("c3d_webhook_secret", secret),
        ):
            await database.execute("select vault.create_secret($1, $2)", value, name)
    finally:
        await database.close()
    return {"HTTP_HOST": HOST, "HTTP_PORT": str(port), "WEBHOOK_SECRET": secret}
