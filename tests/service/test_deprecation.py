"""How a call goes: in the contract and in its answers. No call goes now, so one of a test does."""

from datetime import date

import pytest
from flask import Response, jsonify

from models.errors import NotFound
from service.deprecation import Deprecated
from service.errors import answer_errors
from service.openapi import Query, answers, blueprint, create_openapi_app
from service.replies import HealthReply

GOING = Deprecated(date(2027, 1, 1), date(2027, 7, 1), "`GET /v2/new`")


class OldQuery(Query):
    is_there: bool = True
    """Whether it is."""


def test_a_call_that_goes_says_so_in_the_contract_and_in_each_answer() -> None:
    app, api = create_openapi_app("test", "1"), blueprint("calls", "Some calls.", public=True)

    @api.get("/v1/old", summary="An old call", responses=answers(200, HealthReply, 404, 422), deprecated=GOING)
    def get_old(query: OldQuery) -> Response:
        """What it is for."""
        if not query.is_there:
            raise NotFound
        return jsonify(status="ok")

    @api.get("/v1/new", summary="A new call", responses=answers(200, HealthReply, 422))
    def get_new(query: Query) -> Response:
        return jsonify(status="ok")

    app.register_api(api)
    answer_errors(app)
    client = app.test_client()
    calls = client.get("/openapi.json").json["paths"]
    told = calls["/v1/old"]["get"]
    assert told["deprecated"]
    assert told["description"].startswith(
        "Deprecated since 2027-01-01, and gone after 2027-07-01. Instead: `GET /v2/new`."
    )
    assert "What it is for." in told["description"]
    for status in ("200", "404", "422"):
        assert {"Deprecation", "Sunset"} <= told["responses"][status]["headers"].keys()
    for query, status in (("", 200), ("?is_there=false", 404), ("?no=1", 422)):
        reply = client.get(f"/v1/old{query}")
        assert reply.status_code == status
        assert reply.headers["Deprecation"] == "@1798761600"
        assert reply.headers["Sunset"] == "Thu, 01 Jul 2027 00:00:00 GMT"
        assert reply.headers["Link"] == '</docs>; rel="deprecation"; type="text/html"'
    assert not calls["/v1/new"]["get"].get("deprecated")
    assert "Deprecation" not in client.get("/v1/new").headers


def test_nothing_goes_sooner_than_is_promised() -> None:
    with pytest.raises(ValueError, match="less than 180 days"):
        Deprecated(date(2027, 1, 1), date(2027, 6, 1), "nothing")
