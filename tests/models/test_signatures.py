"""Messages are signed as Standard Webhooks says."""

import time

import pytest
from standardwebhooks import Webhook as Library

from models.signatures import checked_secret, headers_of, new_secret

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_library_of_the_standard_takes_our_signatures() -> None:
    body, old, new = b'{"type": "job.succeeded"}', new_secret(), new_secret()
    headers = headers_of("dlv_1", int(time.time()), body, (new, old))
    for secret in (old, new):
        assert Library(secret).verify(body, headers) == {"type": "job.succeeded"}
    with pytest.raises(Exception, match="No matching signature"):
        Library(new_secret()).verify(body, headers)
    with pytest.raises(Exception, match="No matching signature"):
        Library(new).verify(body + b" ", headers)


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of standard-webhooks/spec, computed by hand."""
    headers = headers_of("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [SECRET])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


SHORT, LONG = "whsec_YWJj", "whsec_" + "A" * 200


@pytest.mark.parametrize("secret", ["", "whsec_", SHORT, LONG, SECRET.removeprefix("whsec_"), SECRET + "é"])
def test_a_secret_that_is_short_or_no_base64_is_none(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        checked_secret(secret)
