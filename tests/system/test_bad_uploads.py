"""What may be wrong with an upload: each is a clear 4xx with a place and a hint, and leaves nothing behind."""

import io
import json
import os
import pickle
import socket
import stat
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from sqlalchemy import select

from migrations.migrate import migrate
from models.database import Database
from models.tables import Dataset
from tests.conftest import free_port
from tests.system.servers import die_with_parent
from tests.system.stack import KEY

LIMIT = 5_000_000
HUGE = 10**11


class Server:
    """The API alone, as granian serves it, with small limits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        url = f"sqlite:///{folder / 'descent.db'}"
        migrate(url)
        self.database = Database(url)
        self.port = free_port()
        settings = {
            "DATA": folder,
            "DATABASE_URL": url,
            "PORT": self.port,
            "API_KEY": KEY,
            "UPLOAD_BYTES": LIMIT,
            "UNPACKED_BYTES": 200_000_000,
            "INGEST_BYTES": 600_000_000,
            "INGEST_SECONDS": 60,
            "INGEST_WAIT_SECONDS": 60,
        }
        environment = {f"DESCENT_{name}": str(value) for name, value in settings.items()}
        line = [sys.executable, "-m", "service.serve"]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                line, env=os.environ | environment, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        headers = {"Authorization": f"Bearer {KEY}"}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=120)
        for _ in range(300):
            with suppress(httpx.TransportError):
                if self.client.get("/readyz").status_code == 200:
                    return
            time.sleep(0.1)
        raise TimeoutError((folder / "log").read_text())

    def kept(self) -> tuple[set[str], list[Any]]:
        """All files but the database's own and the log, and all rows."""
        folders = [self.folder / name for name in ("objects", "scratch")]
        files = {str(path) for folder in folders for path in folder.rglob("*") if path.is_file()}
        with self.database.read() as connection:
            return files, [tuple(row) for row in connection.execute(select(Dataset.__table__))]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.client.close()
        self.database.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("api"))
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def nothing_left(server: Server) -> Iterator[None]:
    before = server.kept()
    yield
    assert server.kept() == before


def npz(**arrays: Any) -> bytes:
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return packed.getvalue()


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], compressed: bool = False) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def npy(shape: str = "(4, 2)", descr: str = "<f8", content: bytes = bytes(64)) -> bytes:
    """An array file with a header of our own."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


Y = npy("(4,)", "<i8", np.arange(4).tobytes())


def png(width: int = 4, height: int = 4) -> bytes:
    image = io.BytesIO()
    Image.new("RGB", (4, 4)).save(image, "PNG")
    content = bytearray(image.getvalue())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def link() -> bytes:
    entry = zipfile.ZipInfo("cats/1.png")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zipped((entry, b"/etc/passwd"), ("dogs/1.png", png()))


def table(rows: int = 1000) -> bytes:
    packed = io.BytesIO()
    parquet.write_table(pa.table({"a": np.arange(rows, dtype=float), "y": np.arange(rows) % 7 * 1.5}), packed)
    return packed.getvalue()


def lying_footer() -> bytes:
    """The footer of a table of a billion equal rows, behind the columns of one of a few."""
    many = io.BytesIO()
    schema = pa.schema({"a": pa.float64(), "y": pa.float64()})
    with parquet.ParquetWriter(many, schema) as writer:
        values = pa.array(np.random.default_rng(0).random(100_000))
        writer.write_table(pa.table({"a": values, "y": values}))
    content = many.getvalue()
    (length,) = struct.unpack("<I", content[-8:-4])
    return b"PAR1" + content[4:2000] + content[-8 - length :]


def object_array() -> bytes:
    packed = io.BytesIO()
    np.savez(packed, x=np.array([{"a": 1}, None], dtype=object), y=np.arange(2))
    return packed.getvalue()


class Bomb:
    def __reduce__(self) -> Any:
        return print, ("a pickle ran",)


CASES: dict[str, tuple[Callable[[], bytes], dict[str, str], str, str, str]] = {
    # name: (content, options, pointer, code, words of the detail)
    "ragged": (lambda: b"a,b,y\n1,2,3\n4,5\n6,7,8\n", {}, "/file", "ragged_row", "Line 3 has 2 values"),
    "ragged far down": (
        lambda: b"a,b,y\n" + b"1,2,3\n" * 200_000 + b"1,2,3,4\n",
        {},
        "/file",
        "ragged_row",
        "Line 200002 has 4 values",
    ),
    "latin-1": (lambda: "a,y\nä,1\nö,2\n".encode("latin-1"), {}, "/file", "wrong_encoding", "line 2"),
    "latin-1 far down": (
        lambda: b"a,y\n" + b"x,1\n" * 300_000 + "ä,2\n".encode("latin-1"),
        {},
        "/file",
        "wrong_encoding",
        "line 300002",
    ),
    "utf-16": (lambda: "a,y\n1,2\n".encode("utf-16"), {}, "/file", "wrong_encoding", "UTF-16"),
    "unknown encoding": (lambda: b"a,y\n1,2\n", {"encoding": "klingon"}, "/encoding", "unknown_encoding", "klingon"),
    "binary": (lambda: b"\x7fELF\0\0\0", {}, "/file", "not_text", "NUL"),
    "empty": (lambda: b"", {}, "/file", "empty_file", "empty"),
    "blank": (lambda: b"\n\n  \n", {}, "/file", "empty_file", "empty"),
    "header alone": (lambda: b"a,b,y\n", {}, "/file", "no_rows", "no rows"),
    "one class": (lambda: b"a,y\n" + b"1,cat\n2,cat\n" * 20, {"target": "y"}, "/target", "one_class", "'cat'"),
    "one class, guessed": (lambda: b"a,y\n" + b"1,cat\n2,cat\n" * 20, {}, "/target", "one_class", "'cat'"),
    "one class in an npz": (lambda: npz(x=np.ones((9, 2)), y=np.zeros(9, int)), {}, "/file", "one_class", "class, 0"),
    "one folder": (lambda: zipped(("cats/1.png", png())), {}, "/file", "one_class", "'cats'"),
    "target missing": (lambda: b"a,y\n1,2.5\n2,\n3,NaN\n", {"target": "y"}, "/target", "missing_target", "in 2 rows"),
    "target nan in an npz": (
        lambda: npz(x=np.ones((3, 2)), y=np.array([1.0, np.nan, 2.0])),
        {},
        "/file",
        "nonfinite_target",
        "row 1",
    ),
    "target infinite": (lambda: b"a,y\n1,2.5\n2,inf\n3,1\n", {"target": "y"}, "/target", "missing_target", "1 rows"),
    "header of 1e11": (
        lambda: zipped(("x.npy", npy(f"({HUGE}, 1)")), ("y.npy", Y)),
        {},
        "/file",
        "wrong_header",
        "800",
    ),
    "header of 1e11 squared": (
        lambda: zipped(("x.npy", npy(f"({HUGE}, {HUGE})")), ("y.npy", Y)),
        {},
        "/file",
        "wrong_header",
        "claims",
    ),
    "negative shape": (lambda: zipped(("x.npy", npy("(-1, 2)")), ("y.npy", Y)), {}, "/file", "wrong_header", "`x`"),
    "evil header": (
        lambda: zipped(("x.npy", npy("__import__('os')")), ("y.npy", Y)),
        {},
        "/file",
        "wrong_header",
        "`x`",
    ),
    "no header": (lambda: zipped(("x.npy", b"nothing"), ("y.npy", Y)), {}, "/file", "wrong_header", "`x`"),
    "object array": (object_array, {}, "/file", "not_numbers", "`x`"),
    "pickle": (
        lambda: zipped(("x.npy", pickle.dumps(Bomb())), ("y.npy", Y)),
        {},
        "/file",
        "wrong_header",
        "`x`",
    ),
    "texts": (lambda: npz(x=np.array([["a"], ["b"]]), y=np.arange(2)), {}, "/file", "not_numbers", "<U1"),
    "no y": (lambda: npz(x=np.ones((3, 2))), {}, "/file", "missing_array", "`y`"),
    "unequal rows": (lambda: npz(x=np.ones((3, 2)), y=np.arange(4)), {}, "/file", "unequal_rows", "3 rows"),
    "one array": (npy, {}, "/file", "unknown_format", "one array"),
    "zip bomb": (
        lambda: zipped(("x.npy", npy("(12500000,)", "<f8", bytes(10**8))), ("y.npy", Y), compressed=True),
        {},
        "/file",
        "zip_bomb",
        "times its size",
    ),
    "large bomb": (
        lambda: zipped(("cats/1.png", bytes(3 * 10**8)), ("dogs/1.png", png()), compressed=True),
        {},
        "/file",
        "too_large_unpacked",
        "DESCENT_UNPACKED_BYTES",
    ),
    "dots": (
        lambda: zipped(("cats/../../x.png", png()), ("dogs/1.png", png())),
        {},
        "/file",
        "unsafe_name",
        "leads out",
    ),
    "absolute": (lambda: zipped(("/etc/x.png", png()), ("dogs/1.png", png())), {}, "/file", "unsafe_name", "leads out"),
    "drive": (lambda: zipped(("C:\\x.png", png()), ("dogs/1.png", png())), {}, "/file", "unsafe_name", "leads out"),
    "link": (link, {}, "/file", "link_in_zip", "is a link"),
    "zip cut short": (
        lambda: zipped(("cats/1.png", png()), ("dogs/1.png", png()))[:-30],
        {},
        "/file",
        "broken_zip",
        "",
    ),
    "empty zip": (zipped, {}, "/file", "empty_file", "no files"),
    "no image": (
        lambda: zipped(("cats/1.png", b"meow"), ("dogs/1.png", png())),
        {},
        "/file",
        "wrong_image",
        "cats/1.png",
    ),
    "torn image": (
        lambda: zipped(("cats/1.png", png()[:48]), ("dogs/1.png", png())),
        {},
        "/file",
        "broken_image",
        "cats/1.png",
    ),
    "1e9 pixels": (
        lambda: zipped(("cats/1.png", png(100_000, 10_000)), ("dogs/1.png", png())),
        {},
        "/file",
        "too_many_pixels",
        "cats/1.png",
    ),
    "images of two sizes": (
        lambda: zipped(("cats/1.png", png()), ("dogs/1.png", png(5, 4))),
        {},
        "/image_size",
        "unequal_images",
        "dogs/1.png",
    ),
    "image in no folder": (lambda: zipped(("1.png", png()), ("dogs/1.png", png())), {}, "/file", "no_class", "1.png"),
    "lying footer": (lying_footer, {}, "/file", "wrong_footer", "does not fit"),
    "parquet cut short": (lambda: table()[:-100], {}, "/file", "broken_parquet", ""),
    "parquet of noise": (lambda: b"PAR1" + bytes(range(256)) * 40 + b"PAR1", {}, "/file", "broken_parquet", ""),
    "repeated column": (lambda: b"a,b,a\n1,2,3\n", {}, "/file", "repeated_column", "'a'"),
    "gzip": (lambda: b"\x1f\x8b\x08\0rest", {}, "/file", "unknown_format", "gzip"),
    "unknown target": (lambda: b"age,y\n1,2\n2,3\n", {"target": "agee"}, "/target", "unknown_column", "'agee'"),
    "unknown feature": (lambda: b"a,y\n1,2\n2,3\n", {"features": '["b"]'}, "/features/0", "unknown_column", "'b'"),
    "target as feature": (
        lambda: b"a,y\n1,2.5\n2,3\n",
        {"features": '["y"]', "target": "y"},
        "/features/0",
        "target_as_feature",
        "'y'",
    ),
    "wrong kind": (lambda: b"a,y\nx,2.5\n2,3\n", {"kinds": '{"a":"number"}'}, "/kinds", "wrong_kind", "'x'"),
    "class of decimals": (
        lambda: b"a,y\n" + b"1,2.5\n2,3.25\n" * 9,
        {"task": "classification", "target": "y"},
        "/target",
        "wrong_task",
        "no classes",
    ),
    "unknown option": (lambda: b"a,y\n1,2\n", {"colour": "red"}, "/colour", "extra_forbidden", ""),
    "option no json": (lambda: b"a,y\n1,2\n", {"length": "many"}, "/length", "not_json", "`length`"),
    "option out of range": (lambda: b"a,y\n1,2\n", {"length": "0"}, "/length", "greater_than_equal", ""),
    "stride alone": (lambda: b"a,y\n1,2\n", {"stride": "2"}, "", "missing_length", ""),
    "short series": (lambda: b"t,y\n1,2\n2,3\n", {"length": "5", "time": "t"}, "/length", "short_series", "No group"),
    "missing time": (lambda: b"t,y\n1,2.5\n,3\n", {"time": "t"}, "/time", "missing_time", "'t'"),
    "words as time": (lambda: b"t,y\nlate,2.5\nlater,3\n", {"time": "t"}, "/time", "wrong_time", "'t'"),
    "long name": (lambda: b"a,y\n1,2.5\n2,3\n", {"name": "n" * 201}, "/name", "string_too_long", ""),
    "csv options for a zip": (
        lambda: npz(x=np.ones((3, 2)), y=np.arange(3)),
        {"target": "y"},
        "/target",
        "only_for_tables",
        "`target`",
    ),
    "vocabulary of a csv": (lambda: b"a,y\n1,2\n", {"vocabulary": "3"}, "/vocabulary", "only_for_npz", "csv"),
    "image size of a csv": (
        lambda: b"a,y\n1,2\n",
        {"image_size": "[2, 2]"},
        "/image_size",
        "only_for_images",
        "csv",
    ),
    "kinds of an npz": (
        lambda: npz(x=np.ones((3, 2)), y=np.arange(3)),
        {"kinds": '{"x": "number"}'},
        "/kinds",
        "only_for_tables",
        "npz",
    ),
    "delimiter of a parquet file": (table, {"delimiter": ";"}, "/delimiter", "only_for_csv", "parquet"),
    "encoding of bytes": (lambda: b"a,y\n1,2\n", {"encoding": "zlib"}, "/encoding", "unknown_encoding", "zlib"),
    "encoding that turns letters": (
        lambda: b"a,y\n1,2\n",
        {"encoding": "rot13"},
        "/encoding",
        "unknown_encoding",
        "rot13",
    ),
    "token of 2^64 - 1": (
        lambda: npz(x=np.full((3, 2), 2**64 - 1, np.uint64), y=np.arange(3)),
        {},
        "/file",
        "large_token",
        "18446744073709551615",
    ),
    "too many columns": (
        lambda: b",".join(b"c%d" % i for i in range(10_001)) + b"\n" + b",".join([b"1"] * 10_001) + b"\n",
        {},
        "/file",
        "too_many_columns",
        "10,001",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bad_file_is_refused_with_its_place_and_a_hint(server: Server, name: str) -> None:
    make, options, pointer, code, words = CASES[name]
    reply = server.client.post("/v1/datasets", files={"file": ("x", make())}, data=options)
    assert reply.status_code == 422, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    problem = reply.json()["errors"][0]
    assert (problem["pointer"], problem["code"]) == (pointer, code), problem
    assert words in problem["detail"]
    assert problem["hint"]


@pytest.mark.parametrize("query", ["?target=a&target=y", "?target=y"])
def test_an_option_that_is_given_twice_is_refused(server: Server, query: str) -> None:
    form = {"files": {"file": ("x", b"a,y\n1,2\n")}, "data": {"target": "y"}}
    for body in (form, {"content": b"a,y\n1,2\n"})[: 1 + query.count("&")]:
        reply = server.client.post(f"/v1/datasets{query}", **body)
        [problem] = reply.json()["errors"]
        assert (reply.status_code, problem["pointer"], problem["code"]) == (422, "/target", "repeated_option")


def test_a_field_that_is_there_twice_is_refused(server: Server) -> None:
    form = {"files": {"file": ("x", b"a,y\n1,2\n")}, "data": {"target": ["a", "y"]}}
    reply = server.client.post("/v1/datasets", **form)
    [problem] = reply.json()["errors"]
    assert (reply.status_code, problem["pointer"], problem["code"]) == (422, "/target", "repeated_option")


@pytest.mark.parametrize("shape", ["(-1, 2)", "__import__('os')", "[1", "(" * 60])
def test_a_broken_header_is_refused_in_our_own_words(server: Server, shape: str) -> None:
    content = zipped(("x.npy", npy(shape)), ("y.npy", Y))
    [problem] = server.client.post("/v1/datasets", files={"file": ("x", content)}).json()["errors"]
    assert problem["code"] == "wrong_header"
    assert not any(word in problem["detail"] for word in ("ast.", "pickle", "object at", "Error"))


def test_an_upload_that_announces_too_much_is_refused_before_it_is_sent(server: Server) -> None:
    status, body = raw(server, f"Content-Length: {3 * 10**9}", b"a,y\n")
    assert status == 413
    assert "DESCENT_UPLOAD_BYTES" in body["detail"]


def test_an_upload_in_chunks_is_refused_when_it_becomes_too_large(server: Server) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(LIMIT // 10**6 + 3):
            yield b"1,2\n" * 250_000

    with suppress(httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadError):
        reply = server.client.post("/v1/datasets", content=chunks())
        assert reply.status_code == 413, reply.text


@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
def test_an_upload_that_breaks_off_is_refused(server: Server, form: bool) -> None:
    content = b"a,y\n" + b"1,2\n" * 1000
    kind = "application/octet-stream"
    if form:
        kind = "multipart/form-data; boundary=xyz"
        content = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + content
    raw(server, f"Content-Type: {kind}\r\nContent-Length: {len(content) + 1000}", content)
    time.sleep(0.5)
    assert server.client.get("/v1/datasets?builtin=false").json()["items"] == []


def test_chunks_that_break_off_are_refused(server: Server) -> None:
    raw(server, "Transfer-Encoding: chunked", b"9\r\na,y\n1,2.5\r\n9\r\n2,3")
    time.sleep(0.5)
    assert server.client.get("/v1/datasets?builtin=false").json()["items"] == []


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        ("multipart/form-data; boundary=xyz", b"--xyz\r\nno headers", 400),
        ("multipart/form-data", b"--xyz--", 400),
        ("multipart/form-data; boundary=xyz", b"--xyz--\r\n", 422),
        (
            "multipart/form-data; boundary=xyz",
            b'--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--xyz--',
            422,
        ),
        ("application/x-www-form-urlencoded", b"a=1", 415),
    ],
)
def test_a_broken_form_is_refused(server: Server, kind: str, content: bytes, status: int) -> None:
    reply = server.client.post("/v1/datasets", content=content, headers={"Content-Type": kind})
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), reply.text


def raw(server: Server, header: str, content: bytes) -> tuple[int, dict[str, Any]]:
    """Sends what no client would, and goes; gives the answer, if there is one."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        head = f"POST /v1/datasets HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n{header}\r\n\r\n"
        connection.sendall(head.encode() + content)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(OSError):
            while more := connection.recv(65536):
                answer += more
    if not answer:
        return 0, {}
    head_of_answer, _, body = answer.partition(b"\r\n\r\n")
    return int(head_of_answer.split()[1]), json.loads(body)
