"""Where webhooks may go."""

import pytest

from models.addresses import Refused, hosts_of, is_public, require_allowed, target_of


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1",
        "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2001:db8::1", "2001:0:7f00:1::", "x",
        "192.0.0.8", "192.88.99.1", "3fff::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "ftp://example.com/", "https://", "https:///x", "https://user@example.com/",
        "https://user:pass@example.com/", "https://example.com/#fragment", "https://example.com:0/",
        "https://example.com:65536/", "https://exa mple.com/", "https://example.com/\r\nX: 1", "https://exämple.com/",
        "https://[::1", "https://[:::::]/", "https://example.com\\@127.0.0.1/", "https://127.0.0.1\0.example.com/",
        "https://2130706433/", "https://0x7f000001/", "https://127.1/", "https://0177.0.0.1/", "https://1.2.3/",
        "https://127.0.0.1./", "https://999.1.1.1/", "https://[1.2.3.4]/", "https://.example.com/", "https://./",
        "https://example..com/", "https://-/", f"https://{'a' * 64}.example/",
    ],
)  # fmt: skip
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="absolute URL"):
        target_of(url)


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://Example.com", "example.com", 443, "/", "example.com"),
        ("http://example.com:8080?a=b", "example.com", 8080, "/?a=b", "example.com:8080"),
        ("https://[2606:4700::1111]:8443/x", "2606:4700::1111", 8443, "/x", "[2606:4700::1111]:8443"),
        ("https://my_hooks.x-y.example./", "my_hooks.x-y.example.", 443, "/", "my_hooks.x-y.example."),
        ("http://example.com:80/x", "example.com", 80, "/x", "example.com"),
    ],
)
def test_a_url_in_its_parts(url: str, host: str, port: int, path: str, authority: str) -> None:
    target = target_of(url)
    assert (target.host, target.port, target.path, target.authority) == (host, port, path, authority)


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:a00:1]/"]
)
def test_what_is_refused_before_its_name_is_resolved(url: str) -> None:
    with pytest.raises(Refused):
        require_allowed(target_of(url), frozenset())


@pytest.mark.parametrize(
    "url", ["http://hooks.internal:9000/x", "https://10.0.0.1/", "http://[::1]/", "http://localhost/"]
)
def test_hosts_that_the_setting_names_are_allowed(url: str) -> None:
    require_allowed(target_of(url), hosts_of("Hooks.internal, 10.0.0.1,::1,localhost"))
