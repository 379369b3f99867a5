"""Who sent a webhook: a Standard Webhooks signature, or a secret in a header.

Source: https://www.standardwebhooks.com, whose library checks id, timestamp and signature.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from standardwebhooks.webhooks import Webhook

SIGNED, STATIC = "webhook-signature", "x-webhook-secret"  # headers
MAX_REMEMBERED = 10_000  # ids; a signature is good for ten minutes


class WebhookRefusedError(Exception):
    """Nothing proves who sent the message."""


class Signatures:
    """Knows the secret, and the messages that were accepted already."""

    def __init__(self, secret: str) -> None:
        """`secret` is `whsec_` and base64."""
        self._secret = secret.encode()
        self._webhook = Webhook(secret)
        self._accepted: dict[str, None] = {}  # the oldest first

    def verify(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """Return the id of a signed message; None for one that came with the secret itself.

        Raises:
            WebhookRefusedError: the signature is missing, wrong, late or was used before.
        """
        if SIGNED not in headers:
            given = headers.get(STATIC, "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, self._secret):
                raise WebhookRefusedError
            return None
        try:
            self._webhook.verify(body, dict(headers), json_parse=False)
        except Exception as error:  # whatever a forged header makes the library raise
            raise WebhookRefusedError from error
        message = headers["webhook-id"]
        if message in self._accepted:
            raise WebhookRefusedError
        self._accepted[message] = None
        if len(self._accepted) > MAX_REMEMBERED:
            del self._accepted[next(iter(self._accepted))]
        return message

    def forget(self, message: str | None) -> None:
        """Let a message that came to nothing be sent again."""
        if message is not None:
            self._accepted.pop(message, None)
