"""One call to a receiver: what is checked, how it is cut short, and what is read of the answer."""

import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from models.deliveries import Outcome
from service import outgoing
from service.outgoing import post
from tests.receiver import Receiver, dripping_body, endless

LOCAL = frozenset({"127.0.0.1"})


def call(url: str, hosts: frozenset[str] = LOCAL, seconds: float = 0.5) -> Outcome:
    return post(url, {"Content-Type": "text/plain"}, b"x", hosts, seconds)


def test_of_an_answer_without_end_only_the_beginning_is_read(receiver: Receiver) -> None:
    receiver.answers = [endless]
    outcome = call(receiver.url)
    assert (outcome.status, outcome.error) == (200, None)
    assert outcome.answer == "x" * outgoing.MOST_OF_AN_ANSWER


def test_what_is_no_http_is_told_of_without_nul(receiver: Receiver) -> None:
    receiver.answers = [lambda handler: handler.wfile.write(b"\0garbage\r\n\r\n")]
    outcome = call(receiver.url)
    assert (outcome.status, outcome.error) == (None, "broken")
    assert outcome.detail
    assert "garbage" in outcome.detail
    assert "\0" not in outcome.detail


def test_an_answer_that_does_not_end_is_cut_short(receiver: Receiver) -> None:
    receiver.answers = [dripping_body]
    outcome = call(receiver.url)
    assert (outcome.status, outcome.error) == (200, None)
    assert 0.4 < outcome.seconds < 2


def test_no_more_is_asked_of_the_name_server_than_once(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is public when it is checked and private when it is called (DNS rebinding) gains nothing."""
    asked = []
    resolve = socket.getaddrinfo

    def note(host: str, *arguments: Any, **named: Any) -> Any:
        asked.append(host)
        return resolve("127.0.0.1" if host == "hooks.example" else host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", note)
    outcome = call(f"http://hooks.example:{receiver.port}/x", frozenset({"hooks.example"}))
    assert outcome.status == 200
    assert asked == ["hooks.example", "127.0.0.1"]
    assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"
    assert call("https://hooks.example/").error == "refused_address"


def test_the_first_calls_of_a_process_may_be_made_at_the_same_time() -> None:
    """Each comes a little later than the one before, so that one of them meets every part of what is being imported."""
    script = """
import sys, threading, time
from service.outgoing import post

def call(seconds):
    time.sleep(seconds)
    sys.stdout.write(post("http://127.0.0.1:1/", {}, b"", frozenset({"127.0.0.1"}), 5).error + chr(10))

for place in range(40):
    threading.Thread(target=call, args=(place / 1000,)).start()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["no_connection"] * 40, "")


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1%lo"]])
def test_a_name_is_refused_if_any_of_its_addresses_is_private(
    answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in answers]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    outcome = call("https://hooks.example/", frozenset())
    assert (outcome.error, outcome.is_final) == ("refused_address", True)


def test_a_name_that_nobody_knows_may_be_known_later() -> None:
    outcome = call("https://nowhere.invalid/")
    assert (outcome.error, outcome.is_final) == ("no_address", False)


def test_the_next_address_is_tried_where_the_first_is_not_there(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in ("127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: both if host == "hooks.example" else resolve(host, *a, **k)
    )
    url = f"http://hooks.example:{receiver.port}/"
    assert call(url, frozenset({"hooks.example"})).status == 200


def test_the_certificate_has_to_be_that_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = a_certificate(tmp_path, "hooks.example")
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: resolve("127.0.0.1", *a, **k))
    hosts = frozenset({"hooks.example", "other.example"})
    with Receiver(certificate=certificate) as receiver:
        stranger = call(f"https://hooks.example:{receiver.port}/", hosts)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        outgoing._trust.cache_clear()
        known = call(f"https://hooks.example:{receiver.port}/", hosts)
        wrong = call(f"https://other.example:{receiver.port}/", hosts)
    outgoing._trust.cache_clear()
    assert (stranger.error, known.status, wrong.error) == ("tls", 200, "tls")
    assert receiver.asked_for == ["hooks.example", "hooks.example", "other.example"]


def a_certificate(folder: Path, name: str) -> Path:
    """For a name, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(secret + made.public_bytes(pem))
    return path
