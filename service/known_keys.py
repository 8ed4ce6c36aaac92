"""The keys that called lately, so that hardly a request asks the database who calls."""

import hmac
import logging
import re
import threading
import time
from dataclasses import dataclass, field, replace

from sqlalchemy.exc import SQLAlchemyError

from models.database import Database
from models.keys import BOOTSTRAP, BY_PREFIX, MARK, PREFIX_LENGTH, Scope, hash_of, note_use
from models.owners import EVERYBODY

log = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
"""For so long a key that was taken back elsewhere may still be let in."""
USED_SECONDS = 60.0
"""How far `last_used_at` may be behind."""
NOTES = "last use of a key"
"""Name of the threads that note it."""
FORM = re.compile(rf"{MARK}[A-Za-z0-9_-]{{43}}")
NOBODY = hash_of("")
ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True)
class Caller:
    """A key, whose it is, and what it allows."""

    key: str
    owner: str
    scopes: frozenset[str]
    sees: str = field(init=False)
    """Its owner, or EVERYBODY."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sees", EVERYBODY if Scope.ADMIN in self.scopes else self.owner)


@dataclass(frozen=True)
class Known:
    """A key as the database had it."""

    hash: str
    caller: Caller
    good_until: float
    is_use_due: bool
    """Whether a use is to be noted."""


class KnownKeys:
    """Says whose a secret is. Right or wrong, known or not, a secret is hashed once, and the hash compared in constant
    time: how long it takes says nothing of the rest of a key whose public start is known."""

    def __init__(self, database: Database, bootstrap: str) -> None:
        self._database = database
        self._bootstrap_hash = hash_of(bootstrap)
        self._bootstrap = Caller(BOOTSTRAP, BOOTSTRAP, ALL_SCOPES)
        self._known: dict[str, Known] = {}

    def find(self, secret: str) -> Caller | None:
        """The caller, None for a secret of no valid key.

        Raises:
            SQLAlchemyError
        """
        given = hash_of(secret)
        if hmac.compare_digest(given, self._bootstrap_hash):
            return self._bootstrap
        # What has not the form of a secret, need not be looked for.
        known = self._lookup(secret[:PREFIX_LENGTH]) if FORM.fullmatch(secret) else None
        is_right = hmac.compare_digest(given, known.hash if known else NOBODY)
        if not (known and is_right):
            return None
        return self._used(secret[:PREFIX_LENGTH], known)

    def holder(self, prefix: str) -> Caller | None:
        """The caller whose secret begins like this, of a session that began with all of it; BOOTSTRAP for the bootstrap
        key. None if the key does not hold any more.

        Raises:
            SQLAlchemyError
        """
        if prefix == BOOTSTRAP:
            return self._bootstrap
        known = self._lookup(prefix)
        return self._used(prefix, known) if known else None

    def _used(self, prefix: str, known: Known) -> Caller:
        if known.is_use_due:
            self._known[prefix] = replace(known, is_use_due=False)
            # Beside the request, which waits for no writer.
            threading.Thread(target=self._note_use, args=(known.caller.key,), name=NOTES, daemon=True).start()
        return known.caller

    def forget(self, prefix: str) -> None:
        """It was changed, or taken back."""
        self._known.pop(prefix, None)

    def _lookup(self, prefix: str) -> Known | None:
        known = self._known.get(prefix)
        if known and time.monotonic() < known.good_until:
            return known
        with self._database.read() as connection:
            row = BY_PREFIX.one(connection, prefix=prefix)
        if row is None or (row.expires_at is not None and row.expires_at <= row.now):
            self.forget(prefix)
            return None
        lives = FRESH_SECONDS if row.expires_at is None else min(FRESH_SECONDS, row.expires_at - row.now)
        scopes = ALL_SCOPES if Scope.ADMIN in row.scopes else frozenset(row.scopes)
        is_use_due = row.last_used_at is None or row.now - row.last_used_at > USED_SECONDS
        known = Known(row.hash, Caller(row.id, row.owner, scopes), time.monotonic() + lives, is_use_due)
        self._known[prefix] = known
        return known

    def _note_use(self, key_id: str) -> None:
        try:
            with self._database.write(durable=False) as connection:
                note_use(connection, key_id)
        except SQLAlchemyError as error:
            log.warning("the use of %s was not noted: %s", key_id, error)
