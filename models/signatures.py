"""Signatures of webhooks, by Standard Webhooks (https://www.standardwebhooks.com): whoever has the secret can tell that
a message is ours, whole, and new.

webhook-signature: v1,Base64(HMAC-SHA256(secret, "{webhook-id}.{webhook-timestamp}.{body}"))
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

MARK = "whsec_"
SECRET_BYTES = 32
LEAST_BYTES, MOST_BYTES = 24, 64
"""Of secrets that clients bring, as the standard recommends."""


def new_secret() -> str:
    return MARK + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def checked_secret(text: str) -> str:
    """The secret, which has to be `whsec_` and the Base64 of 24 to 64 bytes.

    Raises:
        ValueError
    """
    try:
        key = _key(text) if text.startswith(MARK) else b""
    except ValueError:
        key = b""
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(f"It should be `{MARK}` and the Base64 of {LEAST_BYTES} to {MOST_BYTES} random bytes.")
    return text


def headers_of(message_id: str, timestamp: int, body: bytes, by: Iterable[str]) -> dict[str, str]:
    """What a message carries. Signed by each of these secrets: a receiver that knows any of them will take it."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{_signature(secret, signed)}" for secret in by),
    }


def _signature(secret: str, signed: bytes) -> str:
    return base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(MARK), validate=True)
