"""Storage in a folder, and in S3 as moto's server speaks it."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.settings import Settings
from models.storage import AlreadyStored, Damaged, NotStored, Storage, StorageAway, Stored, open_storage

BIG = 20 * 2**20


@pytest.fixture(params=["file", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    url = request.getfixturevalue("bucket") + "/here" if request.param == "s3" else ""
    return open_storage(Settings(data=tmp_path, storage_url=url, cache_bytes=BIG + 1000))


def big() -> Iterator[bytes]:
    for index in range(20):
        yield bytes([index]) * 2**20


def broken() -> Iterator[bytes]:
    yield from big()
    raise ValueError("the client has gone")


def test_what_is_written_is_read_back_whole_and_in_part(storage: Storage) -> None:
    stored = storage.write("datasets/dat_1/x.npy", big())
    whole = b"".join(big())
    assert stored == Stored("datasets/dat_1/x.npy", BIG, hashlib.sha256(whole).hexdigest())
    assert b"".join(storage.read(stored)) == whole
    assert b"".join(storage.read(stored, 2**20 - 2, 2**20 + 2)) == b"\0\0\1\1"
    assert b"".join(storage.read(stored, BIG - 2)) == b"\x13\x13"
    assert storage.path_of(stored).read_bytes() == whole


def test_a_write_that_fails_leaves_nothing(storage: Storage) -> None:
    with pytest.raises(ValueError, match="the client has gone"):
        storage.write("uploads/dat_1", broken())
    assert list(storage.list()) == []


@pytest.mark.parametrize("size", [3, BIG])
def test_nothing_is_replaced(storage: Storage, size: int) -> None:
    stored = storage.write("a/b", iter([b"x" * size]))
    with pytest.raises(AlreadyStored):
        storage.write("a/b", iter([b"y" * size]))
    assert set(b"".join(storage.read(stored))) == {ord("x")}


def test_a_list_is_of_a_prefix_and_a_delete_may_be_repeated(storage: Storage) -> None:
    for key in ("a/1", "a/b/2", "ab/3"):
        storage.write(key, [b"123"])
    assert [listed.key for listed in storage.list("a/")] == ["a/1", "a/b/2"]
    assert {listed.size for listed in storage.list()} == {3}
    storage.delete_all("a/")
    storage.delete("a/1")
    assert [listed.key for listed in storage.list()] == ["ab/3"]


def test_what_is_not_there_is_named(storage: Storage) -> None:
    missing = Stored("a/b", 3, "0" * 64)
    with pytest.raises(NotStored, match="a/b"):
        b"".join(storage.read(missing))
    with pytest.raises(NotStored, match="a/b"):
        storage.path_of(missing)


def test_bytes_that_changed_are_found_when_they_are_read(storage: Storage) -> None:
    storage.write("a/b", [b"123"])
    other = Stored("a/b", 3, hashlib.sha256(b"124").hexdigest())
    with pytest.raises(Damaged):
        b"".join(storage.read(other))
    with pytest.raises(Damaged):
        storage.path_of(other)


def test_a_file_is_verified_again_when_it_was_touched(storage: Storage) -> None:
    stored = storage.write("a/b", [b"123"])
    path = storage.path_of(stored)
    path.chmod(0o600)
    path.write_bytes(b"124")
    with pytest.raises(Damaged):
        storage.path_of(stored)


def test_a_machine_keeps_the_copies_it_used_last(bucket: str, tmp_path: Path) -> None:
    storage = open_storage(Settings(data=tmp_path, storage_url=bucket, cache_bytes=25))
    stored = [storage.write(f"a/{name}", [name.encode() * 10]) for name in "abc"]
    paths = [storage.path_of(one) for one in stored[:2]]
    storage.path_of(stored[0])
    storage.path_of(stored[2])
    assert [path.exists() for path in paths] == [True, False]


def test_storage_that_cannot_be_used_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageAway):
        open_storage(Settings(data=tmp_path, storage_url="s3://nowhere")).check()
    (tmp_path / "file").touch()
    with pytest.raises(StorageAway):
        open_storage(Settings(data=tmp_path, storage_url=f"file://{tmp_path}/file/objects")).check()


def test_what_a_writer_that_died_has_left_is_swept(tmp_path: Path) -> None:
    storage = open_storage(Settings(data=tmp_path / "a folder"))
    stored = storage.write("a/b", [b"123"])
    (tmp_path / "a folder/objects/.drafts/torn").write_bytes(b"12")
    storage.sweep(time.time() - 60)
    assert (tmp_path / "a folder/objects/.drafts/torn").exists()
    storage.sweep(time.time() + 60)
    assert [path.name for path in (tmp_path / "a folder/objects").rglob("*") if path.is_file()] == ["b"]
    assert storage.path_of(stored).read_bytes() == b"123"


def test_storage_that_can_be_used_passes(storage: Storage) -> None:
    storage.check()


def test_what_is_deleted_while_it_is_written_or_checked_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(Settings(data=tmp_path))
    link = os.link

    def link_and_delete(draft: Path, target: Path) -> None:
        link(draft, target)
        storage.delete("a/b")

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", link_and_delete)
        stored = storage.write("a/b", [b"123"])
    assert list(storage.list()) == []
    with pytest.raises(NotStored):
        storage.path_of(stored)
