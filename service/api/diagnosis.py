"""`/v1/jobs/{id}/diagnosis` and `/summary`: why a job learned or did not, and what would help."""

from flask import Response, g, jsonify, request

from models import queries
from models.cures import shown
from models.diagnosed import diagnosed
from models.states import TERMINAL
from service.api.jobs import JobPath, knows, labelled
from service.context import context
from service.contract import NOT_MODIFIED
from service.openapi import Query, answers, blueprint
from service.replies import DiagnosisReply
from service.resource import show_job
from service.summary import summary

EXAMPLE = """\
job_01m88hcf01pdx0mkys4fwvk06n "twelve sigmoid layers"
status: succeeded, epoch 20 of 20, step 460
best epoch: 1: skill 0.00, validation_accuracy 0.10
verdict: unhealthy
cause: vanishing_depth (fault): Each sigmoid layer passes on 23 % of the gradient; ...
remedy: relu_he: /network/activation = "relu", /network/init = "he"; expected: a gain near 1 a layer
"""
TEXT = {
    "description": "Plain text",
    "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
}

api = blueprint("diagnosis", "Why a network learned or did not, and what would help.")


@api.get(
    "/v1/jobs/<job_id>/diagnosis",
    summary="Verdict, findings and remedies",
    responses=answers(200, DiagnosisReply, 404, 422) | NOT_MODIFIED,
)
def get_diagnosis(path: JobPath, query: Query) -> Response:
    """Also while the job runs, with `"complete": false`. Where newer rules hold than those that the job was judged by,
    and where it came to no end of its own, the stored numbers are judged again. With the job's `ETag`; 304 to
    `If-None-Match` of the same."""
    ended, key = context().ended, f"{path.job_id}/diagnosis"
    with context().database.read() as connection:
        if request.if_none_match or key in ended:
            version = queries.find_version(connection, path.job_id, g.sees)
            if knows(version):
                return labelled(Response(status=304), version)
            if body := ended.find(key, version.version):
                return labelled(Response(body, mimetype="application/json"), version)
        found = diagnosed(connection, path.job_id, g.sees)
    job = found.job
    others = {"incident": job.incident, "repair": job.repair and shown(job.repair)}
    reply = jsonify({"job": job.id} | found.said | {name: said for name, said in others.items() if said is not None})
    if job.status in TERMINAL:
        ended.keep(key, job.version, reply.get_data())
    return labelled(reply, job)


@api.get(
    "/v1/jobs/<job_id>/summary",
    summary="A job in plain text",
    responses=answers(200, None, 404, 422) | {200: TEXT},
)
def get_summary(path: JobPath, query: Query) -> Response:
    """Status, metrics, verdict, cause and remedy in at most 2 kB, for logs and agents. Its lines begin with what they
    are; for programs that decide by them there is the diagnosis."""
    shared = context()
    with shared.database.read() as connection:
        row = queries.find_job(connection, path.job_id, g.sees)
        said = diagnosed(connection, path.job_id, g.sees).said
    reply = Response(summary(show_job(row, None, shared.settings.max_attempts), said), mimetype="text/plain")
    return labelled(reply, row)
