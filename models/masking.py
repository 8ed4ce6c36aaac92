"""Secrets in texts for people: a log says which key it was, never the key."""

import logging
import re
import traceback
from typing import Any

HIDDEN = "***"
SECRETS = (
    (re.compile(r"(dsc_[\w-]{8})[\w-]{8,}"), rf"\1{HIDDEN}"),
    (re.compile(r"(whsec_)[\w+/=-]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(Bearer\s+)(?!dsc_)[!-~]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(://[^\s:/@]*:)[^\s@/]+(?=@)"), rf"\1{HIDDEN}"),
)
"""API keys, of which the public start is left; secrets of webhooks; other bearers; passwords in URLs."""


def masked(text: str, *secrets: str) -> str:
    """The text without what SECRETS and these secrets are."""
    for secret in filter(None, secrets):
        text = text.replace(secret, HIDDEN)
    for form, instead in SECRETS:
        text = form.sub(instead, text)
    return text


def mask_logs(*secrets: str) -> None:
    """From now on no record of this process has a secret, nor have tracebacks."""
    make = logging.getLogRecordFactory()

    def make_masked(*arguments: Any, **named: Any) -> logging.LogRecord:
        record = make(*arguments, **named)
        text = record.getMessage()
        if (safe := masked(text, *secrets)) != text:
            record.msg, record.args = safe, ()
        if record.exc_info and record.exc_info[0] is not None:
            # A formatter takes the text that is there.
            record.exc_text = masked("".join(traceback.format_exception(*record.exc_info)).rstrip(), *secrets)
        return record

    logging.setLogRecordFactory(make_masked)
