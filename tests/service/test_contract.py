"""The contract at /openapi.json is valid, and the documentation names what the code offers."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from migrations.migrate import migrate
from models.admission import admit
from models.capacity import capacity_of
from models.catalogue import names
from models.corrections import Corrections
from models.definitions.job import JobDefinition
from models.estimate import estimate, read_sketch
from models.evaluations import EvaluationBody
from models.ingest.options import Options
from models.patches import PatchBody
from models.settings import PREFIX, Settings
from models.signatures import headers_of
from service import replies
from service.api.estimates import A_SHAPE, EstimateBody
from service.api.jobs import EXAMPLES
from service.api.keys import KeyBody, RotationBody
from service.app import create_app
from service.contract import OF_SERVER
from service.enumerations import NAMED
from service.examples import answers_of
from service.openapi import BINARY, schemas_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    folder = tmp_path_factory.mktemp("contract")
    migrate(f"sqlite:///{folder}/descent.db")
    return create_app(Settings(data=folder, api_key="k" * 32)).test_client()


def test_the_contract_is_valid_openapi(client: FlaskClient) -> None:
    contract = client.get("/openapi.json").json
    assert contract is not None
    assert contract["openapi"].startswith("3.1")
    validate(contract)


def test_it_describes_every_call_and_the_whole_definition(client: FlaskClient) -> None:
    contract = client.get("/openapi.json").json
    assert contract is not None
    calls = {f"{method.upper()} {path}" for path, item in contract["paths"].items() for method in item}
    assert calls == {
        "POST /v1/jobs", "GET /v1/jobs", "GET /v1/jobs/{job_id}", "POST /v1/jobs/{job_id}/cancel",
        "POST /v1/jobs/{job_id}/pause", "POST /v1/jobs/{job_id}/resume", "POST /v1/jobs/{job_id}/retry",
        "POST /v1/jobs/{job_id}/clones", "PATCH /v1/jobs/{job_id}",
        "GET /v1/jobs/{job_id}/summary", "GET /v1/schema/job",
        "DELETE /v1/jobs/{job_id}", "GET /v1/workers", "GET /v1/queue",
        "GET /v1/jobs/{job_id}/events", "GET /v1/jobs/{job_id}/metrics", "GET /v1/jobs/{job_id}/layers",
        "GET /v1/jobs/{job_id}/gradients", "GET /v1/jobs/{job_id}/gradients/time",
        "GET /v1/jobs/{job_id}/gradients/flight", "GET /v1/datasets", "GET /v1/datasets/{name}",
        "POST /v1/datasets", "PATCH /v1/datasets/{name}", "DELETE /v1/datasets/{name}",
        "GET /v1/datasets/{name}/preview",
        "GET /v1/jobs/{job_id}/diagnosis", "POST /v1/estimates", "GET /v1/textbook", "GET /v1/textbook/{name}",
        "POST /v1/jobs/{job_id}/repairs", "GET /v1/remedies", "GET /healthz", "GET /readyz",
        "POST /v1/keys", "GET /v1/keys", "GET /v1/keys/{key_id}", "POST /v1/keys/{key_id}/rotate",
        "DELETE /v1/keys/{key_id}", "GET /v1/usage", "GET /metrics",
        "GET /v1/jobs/{job_id}/artifacts", "GET /v1/jobs/{job_id}/artifacts/{name}",
        "POST /v1/jobs/{job_id}/predictions", "GET /v1/jobs/{job_id}/predictions",
        "GET /v1/jobs/{job_id}/predictions/{task_id}", "DELETE /v1/jobs/{job_id}/predictions/{task_id}",
        "GET /v1/jobs/{job_id}/predictions/{task_id}/result", "POST /v1/jobs/{job_id}/evaluations",
        "GET /v1/jobs/{job_id}/evaluations", "GET /v1/jobs/{job_id}/evaluations/{task_id}",
        "POST /v1/webhooks", "GET /v1/webhooks", "GET /v1/webhooks/{webhook_id}", "PATCH /v1/webhooks/{webhook_id}",
        "DELETE /v1/webhooks/{webhook_id}", "POST /v1/webhooks/{webhook_id}/rotate",
        "POST /v1/webhooks/{webhook_id}/ping", "GET /v1/webhooks/{webhook_id}/deliveries",
        "GET /v1/webhooks/{webhook_id}/deliveries/{delivery_id}",
        "POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
        "GET /v1/jobs/{job_id}/plots/{picture}",
    }  # fmt: skip
    assert {"JobDefinition", "Dnn", "Cnn", "Rnn", "ProblemReply"} <= contract["components"]["schemas"].keys()


def test_every_call_says_what_it_is_for_what_it_takes_and_what_it_answers(client: FlaskClient) -> None:
    contract = client.get("/openapi.json").json
    assert contract is not None
    operations = {f"{m} {path}": one for path, item in contract["paths"].items() for m, one in item.items()}
    assert len({one["operationId"] for one in operations.values()}) == len(operations)
    for name, one in operations.items():
        assert one["summary"], name
        assert one["description"], name
        assert any(status.startswith("2") for status in one["responses"]), name
        assert bool(one.get("security")) == ("/v1/" in name or name == "get /metrics"), name
        for parameter in one["parameters"]:
            assert "$ref" in parameter or parameter["description"], (name, parameter["name"])
        for status, answer in one["responses"].items():
            assert answer["description"], (name, status)
            if status in OF_SERVER:
                continue
            assert "X-Request-Id" in answer["headers"], (name, status)
            assert status < "400" or list(answer["content"]) == ["application/problem+json"], (name, status)
            assert status not in ("429", "503") or "Retry-After" in answer["headers"], (name, status)
        for media_type, body in one.get("requestBody", {"content": {}})["content"].items():
            assert "json" not in media_type or body["examples"], name


def test_it_describes_the_calls_to_receivers(client: FlaskClient) -> None:
    contract = client.get("/openapi.json").json
    assert contract is not None
    assert contract["webhooks"].keys() == {"job", "ping"}
    for item in contract["webhooks"].values():
        assert {one["name"] for one in item["post"]["parameters"]} == headers_of("", 0, b"", []).keys()


def test_every_answer_has_an_example_that_fits_its_schema(client: FlaskClient) -> None:
    contract = client.get("/openapi.json").json
    shown = contract["components"]
    for status, form, content in answers_of(contract):
        if form not in ("application/json", "application/problem+json"):
            continue
        schema = {"$ref": "#/shown", "shown": content["schema"], "components": shown}
        named = shown["schemas"].get(content["schema"].get("$ref", "").rpartition("/")[2], {})
        values = [content["example"]] if "example" in content else list(named.get("examples", []))
        if "examples" in content:
            values = [
                shown["examples"][each["$ref"].rpartition("/")[2]]["value"] for each in content["examples"].values()
            ]
        assert values, (status, form, content)
        for value in values:
            Draft202012Validator(schema).validate(value)


def test_operation_ids_stay_as_they_are(client: FlaskClient) -> None:
    """Generated clients call their functions by them."""
    contract = client.get("/openapi.json").json
    assert contract is not None
    ids = {one["operationId"] for item in contract["paths"].values() for one in item.values()}
    assert {
        "submit_job", "list_jobs", "get_job", "change_job", "delete_job", "cancel_job", "pause_job", "resume_job",
        "retry_job", "clone_job", "repair_job", "list_events", "get_metrics", "get_layers", "get_gradients",
        "get_time_gradients", "get_flight", "get_diagnosis", "get_summary", "list_remedies", "list_artifacts",
        "get_artifact", "predict", "list_predictions", "get_prediction", "get_result", "delete_prediction",
        "create_evaluation", "list_evaluations", "get_evaluation", "post_estimate", "get_job_schema", "list_textbook",
        "get_chapter", "upload_dataset", "list_datasets", "get_dataset", "preview_dataset", "correct_dataset",
        "delete_dataset", "list_workers", "list_queue", "healthz", "readyz", "create_key", "list_keys", "get_key",
        "rotate_key", "delete_key", "get_usage", "get_plot", "show_metrics", "create_webhook", "list_webhooks",
        "get_webhook", "change_webhook", "rotate_webhook", "delete_webhook", "ping_webhook", "list_deliveries",
        "get_delivery", "redeliver",
    } <= ids  # fmt: skip


def test_each_call_has_the_problems_that_it_gives_and_no_others(client: FlaskClient) -> None:
    contract = client.get("/openapi.json").json
    assert contract is not None
    always = {"200", "421", *OF_SERVER}
    assert contract["paths"]["/healthz"]["get"]["responses"].keys() == always
    assert contract["paths"]["/readyz"]["get"]["responses"].keys() == always | {"503"}
    for path, item in contract["paths"].items():
        for one in item.values():
            assert "421" in one["responses"], path
            of_keys = {"401", "403", "429"} & one["responses"].keys()
            assert len(of_keys) == (3 if one.get("security") else 0), path


def test_what_is_sent_has_a_name(client: FlaskClient) -> None:
    """Generated clients call their classes by it."""
    contract = client.get("/openapi.json").json
    assert contract is not None
    bodies = [one.get("requestBody") for item in contract["paths"].values() for one in item.values()]
    schemas = [media["schema"] for body in bodies if body for media in body["content"].values()]
    assert {"JobDefinition", "CancelBody", "PatchBody", "UploadForm", "PredictionBody"} <= {
        schema["$ref"].rpartition("/")[2] for schema in schemas if schema != BINARY
    }


def test_a_change_has_no_defaults_that_a_generated_client_would_send(client: FlaskClient) -> None:
    contract = client.get("/openapi.json").json
    assert contract is not None
    calls = [item["patch"]["requestBody"] for item in contract["paths"].values() if "patch" in item]
    names = {call["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2] for call in calls}
    assert names == {"Changes", "Corrections", "WebhookChanges"}
    fields = [field for name in names for field in contract["components"]["schemas"][name]["properties"].values()]
    assert not any("default" in field for field in fields)


def test_a_name_of_the_contract_means_one_thing() -> None:
    """The library takes the last one of those that have the same name."""
    known: dict[str, Any] = {}
    answers = [
        model for model in vars(replies).values() if isinstance(model, type) and issubclass(model, replies.Reply)
    ]
    for model in (*answers, JobDefinition, EstimateBody, Corrections, PatchBody, KeyBody, RotationBody, EvaluationBody):
        for name, schema in schemas_of(model).items():
            assert known.setdefault(name, schema) == schema, name


def test_options_of_an_upload_are_parameters_and_fields_of_its_form(client: FlaskClient) -> None:
    contract = client.get("/openapi.json").json
    assert contract is not None
    call = contract["paths"]["/v1/datasets"]["post"]
    parameters = {one["name"]: one for one in call["parameters"] if "name" in one}
    form = contract["components"]["schemas"]["UploadForm"]["properties"]
    assert form.keys() == parameters.keys() | {"file"} == Options.model_fields.keys() | {"file", "name"}
    assert all(one["in"] == "query" and one["description"] for one in parameters.values())
    kinds = {name: one["schema"].get("type") for name, one in parameters.items()}
    assert (kinds["features"], kinds["length"], kinds["target"]) == ("string", "integer", "string")
    assert parameters["header"]["schema"]["enum"] == ["true", "false"]
    assert parameters["format"]["schema"]["enum"] == ["auto", "csv", "parquet", "npz", "images"]


def test_an_enumeration_that_fields_share_has_one_name(client: FlaskClient) -> None:
    contract = client.get("/openapi.json").json
    assert contract is not None
    schemas, text = contract["components"]["schemas"], json.dumps(contract)
    for values, name in NAMED.items():
        assert schemas[name]["enum"] == list(values)
        assert text.count(json.dumps(values)) == 1, name
    assert schemas["Dnn"]["properties"]["activation"] == {
        "$ref": "#/components/schemas/Activation",
        "default": "relu",
        "description": "Of every hidden layer.",
    }


def test_no_union_has_an_object_for_its_default(client: FlaskClient) -> None:
    """Generators leave out the whole model then; it is told in words."""
    contract = client.get("/openapi.json").json
    assert contract is not None
    optimizer = contract["components"]["schemas"]["Training"]["properties"]["optimizer"]
    assert "default" not in optimizer
    assert 'Default: `{"kind": "adam"' in optimizer["description"]
    assert optimizer["discriminator"]["propertyName"] == "kind"


def test_a_prediction_has_the_verdict_among_its_headers(client: FlaskClient) -> None:
    contract = client.get("/openapi.json").json
    assert contract is not None
    answers = contract["paths"]["/v1/jobs/{job_id}/predictions"]["post"]["responses"]
    assert {status for status, answer in answers.items() if "Descent-Verdict" in answer.get("headers", {})} == {
        "200",
        "202",
    }
    assert contract["components"]["headers"]["Descent-Verdict"]["description"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_contract_can_be_posted(name: str) -> None:
    assert admit(json.dumps(EXAMPLES[name]).encode(), capacity_of([]))


def test_a_shape_of_data_can_be_estimated_as_the_contract_says() -> None:
    assert estimate(*read_sketch(A_SHAPE), capacity_of([]))["total"]["parameters"] > 0


def test_every_field_that_a_post_may_have_is_described(client: FlaskClient) -> None:
    contract = client.get("/openapi.json").json
    assert contract is not None
    for schema in ("JobDefinition", "Dnn", "Cnn", "Rnn", "Data", "Training"):
        assert contract["components"]["schemas"][schema]["description"]


def test_the_docs_page_comes_without_a_key_and_from_here(client: FlaskClient) -> None:
    page = client.get("/docs", follow_redirects=True)
    assert page.status_code == 200
    assert "https://" not in page.text


def test_docs_list_every_setting() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    for name, field in Settings.model_fields.items():
        value = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        assert f"| `{PREFIX}{name.upper()}` | {f'`{value}`' if value else ''} |" in text


def test_docs_list_every_data_set() -> None:
    text = (ROOT / "docs" / "datasets.md").read_text()
    assert [name for name in names() if f"| `{name}` |" not in text] == []


def test_links_of_the_documentation_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_images_set_nothing_but_settings() -> None:
    for file in ("Dockerfile", "docker-compose.yml"):
        named = set(re.findall(rf"{PREFIX}([A-Z_]+)", (ROOT / file).read_text()))
        assert named
        assert named <= {name.upper() for name in Settings.model_fields}
