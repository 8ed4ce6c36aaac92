"""`descent keys`: API keys, for admins."""

import json
from typing import Any

import click

from cli.paths import path_of
from cli.session import Session, talking

SCOPES = ("read", "write", "metrics", "admin")
COLUMNS = ("id", "name", "scopes", "starts with", "last used", "expires")


@click.group()
def keys() -> None:
    """API keys, with a key that is admin: list, create, rotate, delete."""


@keys.command("list")
@talking
def list_keys(session: Session) -> None:
    """List all keys, the newest first; never their secrets."""
    found = list(session.client.every("/v1/keys", limit=200))
    if session.output.as_json:
        session.output.json(found)
    else:
        session.output.table(COLUMNS, [_row(key) for key in found])


@keys.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", type=click.Choice(SCOPES), multiple=True, help="Several times; default: read, write."
)
@click.option("--owner", metavar="OWNER", help="Of another key, to share its jobs.")
@click.option("--expires-at", metavar="TIME", help="As 2026-01-31T12:00:00Z; default: never.")
@talking
def create(session: Session, name: str, scopes: tuple[str, ...], owner: str | None, expires_at: str | None) -> None:
    """Make a key. Its secret is printed this once, and kept nowhere."""
    asked = {"name": name, "scopes": list(scopes or SCOPES[:2]), "owner": owner, "expires_at": expires_at}
    _announce(session, _made(session, "/v1/keys", {key: value for key, value in asked.items() if value is not None}))


@keys.command()
@click.argument("key_id", metavar="ID")
@click.option("--overlap-seconds", type=click.FloatRange(0), help="Both hold for so long; default: a day.")
@talking
def rotate(session: Session, key_id: str, overlap_seconds: float | None) -> None:
    """Replace a key by a new one of the same owner, name and scopes."""
    body = {} if overlap_seconds is None else {"overlap_seconds": overlap_seconds}
    _announce(session, _made(session, path_of("keys", key_id, "rotate"), body))


@keys.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID [ID]...")
@talking
def delete(session: Session, ids: tuple[str, ...]) -> None:
    """Take keys back."""
    for key_id in ids:
        session.client.ask("DELETE", path_of("keys", key_id))
    if session.output.as_json:
        session.output.json(list(ids))


def _made(session: Session, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Not repeated where the answer is lost: a second key would be made, of which nobody knew."""
    headers = {"Content-Type": "application/json"}
    content = json.dumps(body).encode()
    reply = session.client.ask("POST", path, repeatable=False, content=content, headers=headers)
    made: dict[str, Any] = session.client.json(reply)
    return made


def _announce(session: Session, key: dict[str, Any]) -> None:
    if session.output.as_json:
        session.output.json(key)
        return
    print(key["secret"], flush=True)
    session.output.note(f"{key['id']} with {', '.join(key['scopes'])}. It is shown this once: keep it now.")


def _row(key: dict[str, Any]) -> list[str]:
    expires = "has expired" if key["expired"] else key["expires_at"] or "never"
    scopes = ",".join(key["scopes"])
    return [key["id"], key["name"], scopes, key["prefix"], key["last_used_at"] or "never", expires]
