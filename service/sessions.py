"""Sessions of people in a browser: a signed cookie that says which key was shown, and nothing of its secret.

    cookie = sessions.begin(secret)      # None: no valid key
    caller = sessions.caller(cookie)     # None: over, or never begun

No table holds them. Every process of the API can read them, also after a restart, for they are signed with what all of
them know: the bootstrap key. A session ends after SECONDS, with its key, and with the bootstrap key.
"""

import hashlib
import hmac
import secrets
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer

from models.keys import BOOTSTRAP, PREFIX_LENGTH
from service.known_keys import Caller, KnownKeys

SECONDS = 12 * 3600
"""A working day."""


class Sessions:
    def __init__(self, keys: KnownKeys, bootstrap: str) -> None:
        self._keys = keys
        # Of its own, so that nothing that is signed here says anything of the key.
        self._secret = hmac.digest(bootstrap.encode(), b"sessions of the dashboard", "sha256")
        signer = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        self._seal = URLSafeTimedSerializer(self._secret, salt="session", signer_kwargs=signer)

    def begin(self, secret: str) -> str | None:
        """The cookie of whoever shows this key, None if it is no valid one."""
        caller = self._keys.find(secret)
        if caller is None:
            return None
        start = BOOTSTRAP if caller.key == BOOTSTRAP else secret[:PREFIX_LENGTH]
        # The last part makes each session's token another one.
        sealed: str = self._seal.dumps([start, caller.key, secrets.token_hex(8)])
        return sealed

    def caller(self, cookie: str) -> Caller | None:
        """Whose session it is; the key's scopes are those that it has now."""
        try:
            content: Any = self._seal.loads(cookie, max_age=SECONDS)
            start, key, _ = content
        except (BadData, ValueError, TypeError):
            return None
        caller = self._keys.holder(start)
        return caller if caller and caller.key == key else None

    def token(self, cookie: str) -> str:
        """What a page of the session sends along with what it changes: a page from elsewhere has the browser send the
        cookie, but cannot read this."""
        return hmac.new(self._secret, b"token " + cookie.encode(), "sha256").hexdigest()

    def is_token(self, cookie: str, given: str) -> bool:
        return hmac.compare_digest(self.token(cookie).encode(), given.encode("utf-8", "replace"))
