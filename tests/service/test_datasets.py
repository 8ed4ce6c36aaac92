"""Data sets at the API: what is guessed and shown, corrected, listed, shared by identical uploads, kept and removed."""

import io
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import update
from werkzeug.test import TestResponse

from migrations.migrate import migrate
from models import tasks
from models.tables import Dataset
from models.tasks import Kind
from tests.models.test_repairs import SICK
from tests.service.conftest import HEADERS, SMALL, Api
from tests.service.models import a_succeeded_job
from tests.service.test_repairs import end

TABLE = b"""age;colour;member;when;note;rooms;price
20;red;true;2020-01-02;one two;2;1.5
30;;false;2020-01-01;three;3;2.5
;blue;true;2020-01-03;four;2;3.5
50;red;false;2020-01-05;five;3;4.5
"""


class Datasets:
    """Calls of `/v1/datasets`."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def upload(self, content: bytes = TABLE, **options: str) -> TestResponse:
        if len(content) > 100_000:
            # The test client would write a form to a file that it never closes.
            return self.api.client.post("/v1/datasets", data=content, query_string=options, headers=self.api.headers)
        data = {"file": (io.BytesIO(content), "rows.csv"), **options}
        return self.api.client.post("/v1/datasets", data=data, headers=self.api.headers)

    def get(self, path: str = "") -> TestResponse:
        return self.api.client.get(f"/v1/datasets{path}", headers=self.api.headers)

    def patch(self, dataset: str, **changes: Any) -> TestResponse:
        return self.api.client.patch(f"/v1/datasets/{dataset}", json=changes, headers=self.api.headers)

    def delete(self, dataset: str) -> TestResponse:
        return self.api.client.delete(f"/v1/datasets/{dataset}", headers=self.api.headers)

    def files(self) -> set[Path]:
        return {path for path in (self.api.folder / "objects").rglob("*") if path.is_file()}


@pytest.fixture
def datasets(api: Api) -> Datasets:
    return Datasets(api)


def of(reply: TestResponse, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(column for column in reply.json["columns"] if column["name"] == name)
    return found


def test_a_table_is_shown_as_it_was_understood(datasets: Datasets) -> None:
    reply = datasets.upload(target="price", time="when")
    assert (reply.status_code, reply.headers["Location"]) == (201, f"/v1/datasets/{reply.json['id']}")
    shown = reply.json
    kinds = {column["name"]: column["kind"] for column in shown["columns"]}
    assert kinds == {
        "age": "number",
        "colour": "category",
        "member": "boolean",
        "when": "time",
        "note": "category",
        "rooms": "number",
        "price": "number",
    }
    assert (shown["name"], shown["format"], shown["size"], shown["rows"]) == ("rows.csv", "csv", len(TABLE), 4)
    assert (shown["target"], shown["task"], shown["outputs"]) == ("price", "regression", 1)
    assert shown["features"] == ["age", "colour", "member", "note", "rooms"]
    # age, colour in two and one for missing, member, note in four, rooms
    assert shown["input_shape"] == [1 + 3 + 1 + 4 + 1]


def test_columns_have_statistics_counts_and_histograms(datasets: Datasets) -> None:
    reply = datasets.upload()
    age, colour, member, price = (of(reply, name) for name in ("age", "colour", "member", "price"))
    assert (age["missing"], age["fill"], age["min"], age["max"]) == (1, 30, 20, 50)
    assert (age["mean"], age["std"]) == pytest.approx((100 / 3, np.std([20, 30, 50])))
    assert sum(price["histogram"]["rows"]) == 4
    assert len(price["histogram"]["edges"]) == 21
    assert colour["counts"] == [{"value": "red", "rows": 2}, {"value": "blue", "rows": 1}]
    assert member["counts"] == [{"value": "false", "rows": 2}, {"value": "true", "rows": 2}]


def test_a_preview_has_the_first_rows_as_they_were_sent(datasets: Datasets) -> None:
    reply = datasets.get(f"/{datasets.upload().json['id']}/preview")
    assert reply.json["columns"] == ["age", "colour", "member", "when", "note", "rooms", "price"]
    assert reply.json["rows"][1] == [30, None, False, "2020-01-01", "three", 3, 2.5]


def test_parquet_is_understood_like_csv(datasets: Datasets) -> None:
    columns = {"age": [20, 30, None, 50], "colour": ["red", None, "blue", "red"], "price": [1.5, 2.5, 3.5, 4.5]}
    packed = io.BytesIO()
    parquet.write_table(pa.table(columns), packed)
    reply = datasets.upload(packed.getvalue(), target="price")
    assert (reply.json["format"], reply.json["rows"], reply.json["input_shape"]) == ("parquet", 4, [4])
    assert (of(reply, "age")["missing"], of(reply, "age")["fill"]) == (1, 30)


def test_categories_come_in_order_whatever_the_order_of_the_rows(datasets: Datasets) -> None:
    rows = [f"{word},{index}.5" for index, word in enumerate(["pear", "fig", "apple", "fig", "date"] * 20_000)]
    reply = datasets.upload("\n".join(["fruit,y", *rows]).encode(), target="fruit")
    assert reply.json["classes"] == ["apple", "date", "fig", "pear"]
    counts = {count["value"]: count["rows"] for count in of(reply, "fruit")["counts"]}
    assert counts == {"apple": 20_000, "date": 20_000, "fig": 40_000, "pear": 20_000}


def test_a_column_of_many_words_is_text_and_no_feature(datasets: Datasets) -> None:
    rows = [f"word{index},{index % 3},{index}.25" for index in range(30_000)]
    reply = datasets.upload("\n".join(["who,a,y", *rows]).encode())
    assert (of(reply, "who")["kind"], reply.json["features"]) == ("text", ["a"])
    assert "text_column" in [warning["code"] for warning in reply.json["warnings"]]


def test_a_number_that_turns_out_to_be_a_word_makes_its_column_one_of_words(datasets: Datasets) -> None:
    rows = [f"{index % 5},{index}.5" for index in range(200_000)]
    reply = datasets.upload("\n".join(["a,y", *rows, "none of these,1.5"]).encode())
    assert (of(reply, "a")["kind"], of(reply, "a")["distinct"]) == ("category", 6)


def test_values_may_have_line_breaks(datasets: Datasets) -> None:
    rows = [f'"first\nsecond {index % 2}",{index}.5' for index in range(60_000)]
    reply = datasets.upload("\n".join(["a,y", *rows]).encode())
    assert (reply.status_code, reply.json.get("rows")) == (201, 60_000), reply.json


def test_a_file_without_names_gets_some(datasets: Datasets) -> None:
    reply = datasets.upload(b"1,2.5\n2,3.5\n3,1.25\n")
    assert [column["name"] for column in reply.json["columns"]] == ["column_1", "column_2"]
    assert reply.json["rows"] == 3
    assert "no_header" in [warning["code"] for warning in reply.json["warnings"]]


def test_another_encoding_is_read_where_it_is_named(datasets: Datasets) -> None:
    reply = datasets.upload("straße,y\nköln,1.5\nbonn,2.5\n".encode("latin-1"), encoding="latin-1")
    assert (reply.json["features"], of(reply, "straße")["counts"][1]["value"]) == (["straße"], "köln")


def test_texts_become_tokens_behind_padding(datasets: Datasets) -> None:
    content = b'review,stars,who\nGood film!,good,a\n"bad, bad film",bad,b\n,good,c\n'
    reply = datasets.upload(content, text="review", target="stars")
    assert reply.status_code == 201, reply.json
    shown = reply.json
    assert (shown["kind"], shown["rows"], shown["input_shape"], shown["classes"]) == ("tokens", 3, [4], ["bad", "good"])
    arrays = {path.stem: np.load(path) for path in datasets.files()}
    # By how often they occur, then by their letters: bad film ! , good
    assert [word.decode() for word in arrays["words"]] == ["bad", "film", "!", ",", "good"]
    assert arrays["x"].tolist() == [[0, 6, 3, 4], [2, 5, 2, 3], [0, 0, 0, 0]]
    assert (arrays["y"].tolist(), shown["vocabulary"]) == ([1, 0, 1], 7)
    network = {"family": "rnn", "hidden": 4, "embedding": {"size": 3}}
    assert datasets.api.post(network=network, data={"dataset": shown["id"]}).status_code == 202
    short = datasets.upload(content, text="review", target="stars", length="2")
    assert short.json["input_shape"] == [2]
    refused = datasets.upload(content, text="review", group="who")
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "text_alone")


def test_target_features_task_and_kinds_can_be_corrected(datasets: Datasets) -> None:
    dataset = datasets.upload(target="price").json["id"]
    reply = datasets.patch(dataset, target="rooms", features=["age", "price"], name="homes")
    assert (reply.status_code, reply.json["name"], reply.json["target"]) == (200, "homes", "rooms")
    assert (reply.json["task"], reply.json["input_shape"]) == ("regression", [2])
    reply = datasets.patch(dataset, kinds={"rooms": "category"})
    assert (reply.json["task"], reply.json["classes"]) == ("classification", ["2", "3"])
    assert datasets.get(f"/{dataset}").json == reply.json


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"target": "prize"}, "/target", "unknown_column"),
        ({"target": "colour"}, "/target", "missing_target"),
        ({"target": "when"}, "/target", "wrong_target"),
        ({"features": ["age", "age"]}, "/features/1", "repeated_column"),
        ({"features": ["when"]}, "/features/0", "wrong_feature"),
        ({"features": ["price"]}, "/features/0", "target_as_feature"),
        ({"kinds": {"colour": "number"}}, "/kinds/colour", "wrong_kind"),
        ({"kinds": {"color": "number"}}, "/kinds/color", "unknown_column"),
        ({"task": "classification"}, "/task", "wrong_task"),
        ({"taks": "classification"}, "/taks", "extra_forbidden"),
    ],
)
def test_a_wrong_correction_is_refused_and_changes_nothing(
    datasets: Datasets, changes: dict[str, Any], pointer: str, code: str
) -> None:
    before = datasets.upload(target="price").json
    reply = datasets.patch(before["id"], **changes)
    assert reply.status_code == 422, reply.json
    assert [(e["pointer"], e["code"]) for e in reply.json["errors"]] == [(pointer, code)]
    assert datasets.get(f"/{before['id']}").json == before


def test_identical_uploads_are_stored_once(datasets: Datasets) -> None:
    first = datasets.upload(target="price")
    files = datasets.files()
    again = datasets.upload(target="price", name="another name")
    assert (first.status_code, again.status_code, again.json) == (201, 200, first.json)
    assert datasets.files() == files
    assert datasets.upload(target="rooms").json["id"] != first.json["id"]


def test_uploads_that_are_identical_and_at_once_are_one(datasets: Datasets) -> None:
    replies: list[TestResponse] = []
    threads = [threading.Thread(target=lambda: replies.append(datasets.upload())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({reply.json["id"] for reply in replies}) == 1
    assert sorted(reply.status_code for reply in replies) == [200, 200, 200, 201]


def test_a_correction_that_makes_two_the_same_is_refused(datasets: Datasets) -> None:
    first, second = (datasets.upload(target=target).json["id"] for target in ("price", "rooms"))
    reply = datasets.patch(second, target="price")
    assert (reply.status_code, reply.json["code"]) == (409, "illegal_move")
    assert first in reply.json["detail"]


def test_lists_are_filtered_before_they_are_cut_into_pages(datasets: Datasets) -> None:
    own = [datasets.upload(target=target).json["id"] for target in ("price", "rooms", "member")][::-1]
    found, after = [], ""
    while True:
        page = datasets.get(f"?limit=2&after={after}" if after else "?limit=2").json
        found += [item["id"] for item in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert found[:3] == own
    assert {"iris", "signals"} < set(found[3:])
    assert len(found) == len(set(found))
    named = [item["id"] for item in datasets.get("?builtin=false&task=classification").json["items"]]
    assert named == [own[0]]
    assert {item["kind"] for item in datasets.get("?kind=tokens").json["items"]} == {"tokens"}
    assert datasets.get("?limit=0").status_code == 422
    assert datasets.get("?after=x").status_code == 422


def test_what_is_of_another_key_is_not_there(datasets: Datasets) -> None:
    datasets.api.be_no_admin()
    dataset = datasets.upload().json["id"]
    with datasets.api.database.write() as connection:
        connection.execute(update(Dataset).values(owner="key_other"))
    calls = [datasets.get(f"/{dataset}"), datasets.get(f"/{dataset}/preview"), datasets.patch(dataset, name="x")]
    assert [reply.status_code for reply in (*calls, datasets.delete(dataset))] == [404] * 4
    assert datasets.get("?builtin=false").json["items"] == []
    reply = datasets.api.post(data={"dataset": dataset})
    assert (reply.status_code, reply.json["errors"][0]["code"]) == (422, "unknown_dataset")


def test_a_deleted_one_leaves_no_bytes(datasets: Datasets) -> None:
    dataset = datasets.upload().json["id"]
    assert datasets.files()
    assert datasets.delete(dataset).status_code == 204
    assert datasets.files() == set()
    assert datasets.delete(dataset).status_code == 404


def test_one_that_a_job_uses_stays_until_the_job_is_deleted(datasets: Datasets) -> None:
    dataset = datasets.upload(target="price").json["id"]
    job = datasets.api.post(data={"dataset": dataset}).json["id"]
    reply = datasets.delete(dataset)
    assert (reply.status_code, reply.json["code"]) == (409, "in_use")
    datasets.api.ask(job, "cancel")
    assert datasets.api.delete(job).status_code == 204
    assert datasets.delete(dataset).status_code == 204


def test_jobs_and_deletions_at_once_never_leave_a_job_without_its_data(datasets: Datasets) -> None:
    for attempt in range(8):
        dataset = datasets.upload(TABLE + f"5;red;true;2020-02-0{attempt + 1};six;3;9.5\n".encode()).json["id"]
        replies: dict[str, TestResponse] = {}
        body = {"network": SMALL["network"], "data": {"dataset": dataset}}
        client = datasets.api.client.application.test_client()
        calls = {
            "job": partial(client.post, "/v1/jobs", json=body, headers=HEADERS),
            "delete": partial(datasets.delete, dataset),
        }
        threads = [
            threading.Thread(target=lambda name=name, call=call, replies=replies: replies.update({name: call()}))
            for name, call in calls.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        outcome = replies["job"].status_code, replies["delete"].status_code
        assert outcome in ((202, 409), (422, 204)), (replies["job"].json, replies["delete"].json)


@pytest.mark.parametrize(
    ("data", "pointer", "code"),
    [
        ({"target": "colour"}, "/data/target", "missing_target"),
        ({"target": "size"}, "/data/target", "unknown_column"),
        ({"target": "note", "task": "regression"}, "/data/task", "wrong_task"),
        ({"features": ["age", "when"]}, "/data/features/1", "wrong_feature"),
        ({"features": []}, "/data/features", "too_short"),
        ({"features": ["price"]}, "/data/features/0", "target_as_feature"),
        ({"features": "some"}, "/data/features", "literal_error"),
        ({"split": "group"}, "/data/split", "no_groups"),
        ({"split": "stratified"}, "/data/split", "no_classes"),
        ({"parameters": {"rows": 3}}, "/data/parameters", "no_parameters"),
        ({"validation": {"dataset": "iris"}}, "/data/validation/dataset", "not_uploaded"),
        ({"validation": {"dataset": "dat_x"}}, "/data/validation/dataset", "unknown_dataset"),
        ({"validation": {"data": "dat_x"}}, "/data/validation/dataset", "missing"),
    ],
)
def test_a_job_is_refused_with_the_place_of_what_does_not_fit(
    datasets: Datasets, data: dict[str, Any], pointer: str, code: str
) -> None:
    dataset = datasets.upload(target="price").json["id"]
    reply = datasets.api.post(data={"dataset": dataset} | data)
    assert reply.status_code == 422
    assert (pointer, code) in [(e["pointer"], e["code"]) for e in reply.json["errors"]], reply.json


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        ({"target": "x"}, "/data/target"),
        ({"features": ["x"]}, "/data/features"),
        ({"split": "group"}, "/data/split"),
        ({"validation": {"dataset": "dat_x"}}, "/data/validation"),
    ],
)
def test_what_is_for_uploads_is_refused_of_what_is_built_in(api: Api, data: dict[str, Any], pointer: str) -> None:
    reply = api.post(data={"dataset": "iris"} | data)
    assert (reply.status_code, reply.json["errors"][0]["pointer"]) == (422, pointer)


def test_a_network_that_does_not_fit_the_columns_is_refused(datasets: Datasets) -> None:
    dataset = datasets.upload(target="price").json["id"]
    reply = datasets.api.post(network={"family": "cnn", "blocks": [{"filters": 4}]}, data={"dataset": dataset})
    assert reply.status_code == 422
    assert reply.json["errors"][0]["pointer"].startswith("/network")


def test_an_estimate_knows_uploads(datasets: Datasets) -> None:
    dataset = datasets.upload(target="price").json["id"]
    body = SMALL | {"data": {"dataset": dataset}}
    reply = datasets.api.client.post("/v1/estimates", json=body, headers=HEADERS)
    assert reply.json["layers"][0]["parameters"] == 10 * 4 + 4


def test_a_clone_of_a_job_keeps_its_data_and_may_change_them(datasets: Datasets) -> None:
    dataset = datasets.upload(target="price").json["id"]
    job = datasets.api.post(data={"dataset": dataset}).json["id"]
    patch = [{"op": "replace", "path": "/data/features", "value": ["age"]}]
    reply = datasets.api.ask(job, "clones", {"patch": patch})
    assert reply.json["definition"]["data"]["uploaded"]["input_shape"] == [1]


def test_what_takes_long_is_answered_before_it_is_read(database_url: str, tmp_path: Path) -> None:
    api = Api(database_url, tmp_path, ingest_wait_seconds=0)
    datasets = Datasets(api)
    reply = datasets.upload()
    assert (reply.status_code, reply.json["status"], reply.json["kind"]) == (202, "ingesting", None)
    refused = api.post(data={"dataset": reply.json["id"]})
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "dataset_not_ready")
    assert datasets.get(f"/{reply.json['id']}/preview").status_code == 409
    broken = datasets.upload(b"a,y\n1\n")
    await_read(datasets, reply, broken)
    assert datasets.get(f"/{reply.json['id']}").json["status"] == "ready"
    failed = datasets.get(f"/{broken.json['id']}").json
    assert (failed["status"], failed["error"]["code"]) == ("failed", "ragged_row")
    again = datasets.upload(b"a,y\n1\n")
    assert (again.status_code, again.json["id"] != broken.json["id"]) == (202, True)
    await_read(datasets, again)
    assert {path.name for path in datasets.files()} == {"table.npy"}
    api.database.close()


def await_read(datasets: Datasets, *replies: TestResponse) -> None:
    waiting = threading.Event()
    for _ in range(300):
        states = [datasets.get(f"/{reply.json['id']}").json["status"] for reply in replies]
        if "ingesting" not in states:
            return
        waiting.wait(0.1)
    raise TimeoutError(states)


def test_bytes_that_no_data_set_knows_are_swept(datasets: Datasets) -> None:
    kept = datasets.upload()
    shared = datasets.api.client.application.extensions["descent"]
    shared.storage.write("uploads/dat_01m8bs4w9f8sj0maqqa0b93sb8", [b"left"])
    shared.storage.write("datasets/dat_01m8bs4w9f8sj0maqqa0b93sb8/1/x.npy", [b"left"])
    shared.storage.write(f"datasets/{kept.json['id']}/7/x.npy", [b"left"])
    shared.ingests.sweep(older_than=-10_000)
    assert {path.name for path in datasets.files()} == {"table.npy"}


def test_one_that_is_deleted_while_it_is_read_leaves_nothing(database_url: str, tmp_path: Path) -> None:
    api = Api(database_url, tmp_path, ingest_wait_seconds=0)
    datasets = Datasets(api)
    reply = datasets.upload()
    assert datasets.delete(reply.json["id"]).status_code == 204
    await_read(datasets, datasets.upload(target="price"))
    for _ in range(100):
        if len(datasets.files()) == 1:
            break
        threading.Event().wait(0.1)
    assert {path.name for path in datasets.files()} == {"table.npy"}
    api.database.close()


@pytest.mark.parametrize("path", ["dat_%00", "dat_x", "dat_" + "i" * 26, "..%2f..", "iris%00"])
def test_a_name_that_is_none_is_not_found(datasets: Datasets, path: str) -> None:
    calls = [datasets.get(f"/{path}"), datasets.get(f"/{path}/preview"), datasets.patch(path, name="x")]
    assert {reply.status_code for reply in (*calls, datasets.delete(path))} == {404}


def test_who_would_change_a_built_in_one_is_told_why_not(datasets: Datasets) -> None:
    calls = [datasets.get("/iris/preview"), datasets.patch("iris", name="x"), datasets.delete("iris")]
    for reply in calls:
        assert (reply.status_code, reply.json["code"]) == (404, "not_found")
        assert "iris is built in" in reply.json["detail"]
        assert "POST /v1/datasets" in reply.json["detail"]


@pytest.mark.parametrize("delimiter", ["é", '"', "\n", "ab"])
def test_a_delimiter_that_no_csv_is_read_by_is_refused_by_name(datasets: Datasets, delimiter: str) -> None:
    reply = datasets.upload(delimiter=delimiter)
    assert (reply.status_code, reply.json["errors"][0]["pointer"]) == (422, "/delimiter")


def test_options_beside_a_source_stand_in_the_body(datasets: Datasets) -> None:
    source = {"url": "s3://bucket/rows.csv"}
    reply = datasets.api.client.post("/v1/datasets?target=price", json=source, headers=datasets.api.headers)
    assert reply.status_code == 422
    assert [(item["pointer"], item["code"]) for item in reply.json["errors"]] == [("/target", "misplaced_option")]


def test_texts_with_nul_are_refused_or_kept_apart(datasets: Datasets) -> None:
    refused = datasets.upload(name="a\0b")
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/name")
    packed = io.BytesIO()
    parquet.write_table(pa.table({"a": ["x\0", "y"] * 10, "y": np.arange(20) / 2}), packed)
    reply = datasets.upload(packed.getvalue())
    assert reply.status_code == 201, reply.json
    assert datasets.get(f"/{reply.json['id']}/preview").json["rows"][0] == ["x\ufffd", 0.0]
    assert datasets.api.post(data={"dataset": reply.json["id"]}).status_code == 202


def test_storage_that_is_away_is_a_503_and_leaves_no_row(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ENDPOINT_URL": "http://127.0.0.1:9", "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    api = Api(database_url, tmp_path, storage_url="s3://nowhere")
    datasets = Datasets(api)
    for reply in (datasets.upload(), api.client.get("/readyz")):
        assert (reply.status_code, reply.json["code"]) == (503, "storage_away")
        assert reply.headers["Retry-After"]
    assert datasets.get("?builtin=false").json["items"] == []
    api.database.close()


@pytest.mark.parametrize(
    ("setting", "value", "code"), [("ingest_seconds", 0.05, "too_slow"), ("ingest_bytes", 200_000_000, "too_large")]
)
def test_a_file_that_takes_too_much_is_refused(tmp_path: Path, setting: str, value: float, code: str) -> None:
    url = f"sqlite:///{tmp_path / 'descent.db'}"
    migrate(url)
    api = Api(url, tmp_path, **{setting: value})
    datasets = Datasets(api)
    packed = io.BytesIO()
    np.savez(packed, x=np.zeros((4, 5_000_000)), y=np.arange(4))
    content = packed.getvalue() if code == "too_large" else TABLE
    reply = datasets.upload(content)
    assert (reply.status_code, reply.json["errors"][0]["code"]) == (422, code), reply.json
    assert datasets.files() == set()
    assert datasets.get("?builtin=false").json["items"] == []
    api.database.close()


def test_a_file_whose_arrays_find_no_room_fails_and_says_that_the_disk_may_be_full(
    datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not that the file is broken."""
    monkeypatch.setattr("models.datasets.MOST_ATTEMPTS", 1)
    folder = datasets.api.folder / "objects" / "datasets"
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("")  # where its arrays would go
    reply = datasets.upload()
    assert [error["code"] for error in reply.json["errors"]] == ["not_stored"]


def test_what_a_killed_process_left_in_scratch_goes_with_its_data_set(datasets: Datasets) -> None:
    dataset = datasets.upload().json["id"]
    left = datasets.api.folder / "scratch" / f"{dataset}-1"
    left.mkdir(parents=True)
    (left / "table.npy").touch()
    assert datasets.delete(dataset).status_code == 204
    assert not left.exists()


LINES = ["age,rooms,member,price,grade"]
LINES += [f"{20 + i}.5,{i % 3},{'true' if i % 2 else 'false'},{i}.25,{i % 2}" for i in range(40)]
HOMES = "\n".join(LINES).encode()


def meant(job: TestResponse) -> tuple[Any, ...]:
    """What a job trains on."""
    return meant_by(job.json["definition"]["data"]["uploaded"])


def meant_by(known: dict[str, Any]) -> tuple[Any, ...]:
    kinds = {column["name"]: column["kind"] for column in known["columns"]["columns"]}
    return known["columns"]["target"], known["task"], known["columns"]["features"], known["input_shape"], kinds


CORRECTED: dict[str, dict[str, Any]] = {
    "target": {"target": "age"},
    "features": {"features": ["age"]},
    "task": {"target": "grade", "task": "regression"},
    "kinds": {"kinds": {"rooms": "category", "member": "category"}},
}


@pytest.mark.parametrize("changes", CORRECTED.values(), ids=CORRECTED)
def test_a_job_is_cloned_repaired_and_posted_again_as_it_was_whatever_is_corrected(
    datasets: Datasets, changes: dict[str, Any]
) -> None:
    dataset = datasets.upload(HOMES, target="grade").json["id"]
    first = datasets.api.post(data={"dataset": dataset})
    assert meant(first)[:2] == ("grade", "classification")
    end(datasets.api, 0.1, SICK)
    assert datasets.patch(dataset, **changes).status_code == 200
    clone = datasets.api.ask(first.json["id"], "clones", {"patch": []})
    repair = datasets.api.ask(first.json["id"], "repairs")
    again = datasets.api.post(**first.json["definition"])
    new = datasets.api.post(data={"dataset": dataset})
    assert [reply.status_code for reply in (clone, repair, again, new)] == [202] * 4
    assert meant(clone) == meant(repair) == meant(again) == meant(first) != meant(new)


def test_a_job_may_take_a_column_for_another_kind(datasets: Datasets) -> None:
    dataset = datasets.upload(HOMES, target="price").json["id"]
    job = datasets.api.post(data={"dataset": dataset, "features": ["rooms"], "kinds": {"rooms": "category"}})
    assert meant(job)[3] == [3]
    for kinds, code in (({"age": "category"}, "wrong_kind"), ({"size": "number"}, "unknown_column")):
        reply = datasets.api.post(data={"dataset": dataset, "kinds": kinds})
        [problem] = reply.json["errors"]
        assert (reply.status_code, problem["pointer"], problem["code"]) == (
            422,
            f"/data/kinds/{next(iter(kinds))}",
            code,
        )
    reply = datasets.api.post(data={"dataset": "iris", "kinds": {"age": "number"}})
    assert [(e["pointer"], e["code"]) for e in reply.json["errors"]] == [("/data/kinds", "only_for_uploads")]


def test_of_arrays_nothing_is_written_into_a_definition_and_it_goes_again(datasets: Datasets) -> None:
    packed = io.BytesIO()
    np.savez(packed, x=np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32), y=np.arange(20) % 2)
    dataset = datasets.upload(packed.getvalue()).json["id"]
    first = datasets.api.post(data={"dataset": dataset}).json["definition"]
    assert (first["data"]["target"], first["data"]["task"], first["data"]["features"]) == (None, None, "all")
    assert datasets.api.post(**first).json["definition"] == first
    refused = datasets.api.post(data={"dataset": dataset, "kinds": {"x": "number"}}).json["errors"]
    assert [(e["pointer"], e["code"]) for e in refused] == [("/data/kinds", "no_columns")]


def test_an_evaluation_reads_another_set_as_the_job_read_its_own(datasets: Datasets) -> None:
    api = datasets.api
    dataset = datasets.upload(HOMES, target="grade").json["id"]
    other = datasets.upload(HOMES + b"\n70.5,1,true,3.25,1", target="grade").json["id"]
    job = a_succeeded_job(api, api.database, api.storage, {}, data={"dataset": dataset, "kinds": {"rooms": "category"}})
    before = meant(api.get(f"/{job}"))
    corrections: dict[str, Any] = {"target": "age", "features": ["rooms"], "kinds": {"member": "category"}}
    for changed in (dataset, other):
        assert datasets.patch(changed, **corrections).status_code == 200
    assert api.ask(job, "evaluations", {"dataset": other}).status_code == 202
    with api.database.write() as connection:
        task = tasks.claim(connection, "wrk_a", (Kind.EVALUATION,), 60)
    assert task is not None
    data = task.request["data"]
    assert meant_by(data["uploaded"]) == meant_by(data["validation"]["uploaded"]) == before


def test_the_hint_of_a_wrong_option_does_not_lead_to_the_definition_of_a_job(datasets: Datasets) -> None:
    [problem] = datasets.upload(length="0").json["errors"]
    assert (problem["pointer"], problem["hint"]) == ("/length", "See what this call takes in /openapi.json.")
