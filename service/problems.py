"""What each code of a problem means, and what to do: the pages that `type` leads to. Codes are part of the contract."""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from models.diagnosis.finding import Code
from models.errors import Problem
from service.item_codes import ITEMS

AGAIN = "Ask again after as many seconds as Retry-After says; a POST with the Idempotency-Key it had."
OF_JOBS = "job.error"
RENAMED = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
"""By RFC 9110; the names that Python gives them depend on its version."""


@dataclass(frozen=True)
class Explained:
    """One code."""

    status: HTTPStatus | None
    """Of the answer; None where it is the `error` of a job or a task."""
    meaning: str
    advice: str


def _of_job(meaning: str, advice: str) -> Explained:
    return Explained(None, meaning, advice)


EXPLAINED: dict[str, Explained] = {
    "bad_request": Explained(
        HTTPStatus.BAD_REQUEST,
        "The request cannot be read: a form is broken, or the body ended before the length that was announced.",
        "Send it again, whole. `detail` says what was missing.",
    ),
    "not_json": Explained(
        HTTPStatus.BAD_REQUEST,
        "The body is not JSON (RFC 8259) in UTF-8. NaN and Infinity are no JSON.",
        "`detail` names line and column.",
    ),
    "unauthorised": Explained(
        HTTPStatus.UNAUTHORIZED,
        "There was no API key, or one that is not known, has expired or was taken back.",
        "Send `Authorization: Bearer dsc_...`.",
    ),
    "forbidden": Explained(
        HTTPStatus.FORBIDDEN,
        "The API key is known, and its scopes do not allow this.",
        "Use a key with the scope that `detail` names.",
    ),
    "cross_origin": Explained(
        HTTPStatus.FORBIDDEN,
        "A page of another origin asks for a change in a browser (`Origin`).",
        "Call the API from a server, or have the name of the page's host put into DESCENT_HOSTS.",
    ),
    "unconfirmed": Explained(
        HTTPStatus.FORBIDDEN,
        "A call that changes something came with the cookie of the dashboard, and without the token of its session.",
        "Programs send `Authorization: Bearer dsc_...`, and need no token; of the dashboard load the page again.",
    ),
    "not_found": Explained(
        HTTPStatus.NOT_FOUND,
        "There is no such thing, or it is not yours: the two look alike on purpose.",
        "Look at the id; lists show what there is. What was deleted stays away.",
    ),
    "method_not_allowed": Explained(
        HTTPStatus.METHOD_NOT_ALLOWED, "The path exists, but not for this method.", "`Allow` names those there are."
    ),
    "not_acceptable": Explained(
        HTTPStatus.NOT_ACCEPTABLE,
        "It is not served in any form that `Accept` names.",
        "`detail` names the forms there are.",
    ),
    "illegal_move": Explained(
        HTTPStatus.CONFLICT,
        "The state of the job, data set or webhook does not allow this. What has ended stays as it is.",
        "`detail` names the state. A failed or cancelled job is run again by `retry`, any job by `clones`.",
    ),
    "in_use": Explained(
        HTTPStatus.CONFLICT, "Jobs use the data set.", "Delete those first; `detail` names some of them."
    ),
    "in_flight": Explained(
        HTTPStatus.CONFLICT,
        "A request with this Idempotency-Key is being answered at this moment.",
        AGAIN,
    ),
    "key_reused": Explained(
        HTTPStatus.CONFLICT,
        "This Idempotency-Key was sent within 24 hours with another call or another body.",
        "Take a new key for a new request. A repetition has to have the very body of the first, as a JSON value.",
    ),
    "no_remedy": Explained(
        HTTPStatus.CONFLICT,
        "No finding of the job has a remedy that would change anything.",
        "The diagnosis says what was found; `clones` takes a change of your own.",
    ),
    "model_pending": Explained(HTTPStatus.CONFLICT, "The job has succeeded, and its files are being made.", AGAIN),
    "no_model": Explained(
        HTTPStatus.CONFLICT, "The job has no model: only one that has succeeded does.", "`detail` says why."
    ),
    "unhealthy": Explained(
        HTTPStatus.CONFLICT,
        "The diagnosis says that the network has not learned what it should.",
        "Repair the job, or add `?allow_unhealthy=true`.",
    ),
    "model_too_large": Explained(
        HTTPStatus.CONFLICT,
        "The model is larger than the API loads (DESCENT_MODELS_BYTES).",
        "Send the rows as a file: a worker predicts for them.",
    ),
    "dataset_not_ready": Explained(
        HTTPStatus.CONFLICT, "The data set is being read, or could not be read.", "GET it: `status` and `error` tell."
    ),
    "too_many_webhooks": Explained(
        HTTPStatus.CONFLICT,
        "The owner of the key has as many webhooks as an owner may have; callbacks of jobs are not counted.",
        "Delete one that is not needed, or give one more events.",
    ),
    "other_version": Explained(
        HTTPStatus.PRECONDITION_FAILED,
        "It was changed since you read it: `If-Match` names another version.",
        "Read it again, and decide anew.",
    ),
    "content_too_large": Explained(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "The body has more bytes than is allowed.",
        "`detail` says the limit and its setting.",
    ),
    "unsupported_media_type": Explained(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is not of a type that is taken here.", "`detail` says which are."
    ),
    "range_not_satisfiable": Explained(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        "The range begins beyond the end of the file.",
        "`Content-Range` says how long it is.",
    ),
    "invalid_definition": Explained(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The body was understood, but it is wrong; nothing was done.",
        "`errors` lists everything at once: where (`pointer`), what (`detail`) and what would help (`hint`).",
    ),
    "invalid_dataset": Explained(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The file or its options are wrong; nothing of it was kept.",
        "`errors` lists what is wrong; `/file` is the file itself.",
    ),
    "invalid_parameter": Explained(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "A parameter of the URL or a header is unknown, of a wrong type or out of range. Nothing is clamped silently.",
        "`errors` names it in `pointer`.",
    ),
    "wrong_host": Explained(
        HTTPStatus.MISDIRECTED_REQUEST,
        "The service does not answer to the name in `Host`.",
        "Call it by its address, or have the name put into DESCENT_HOSTS.",
    ),
    "too_many_requests": Explained(
        HTTPStatus.TOO_MANY_REQUESTS,
        "The key has sent as many requests in this minute as are allowed (DESCENT_REQUESTS_PER_MINUTE).",
        "Wait as many seconds as Retry-After says. `wait` and event streams need fewer requests than polling.",
    ),
    "over_budget": Explained(
        HTTPStatus.TOO_MANY_REQUESTS,
        "The owner of the key keeps as many bytes as are allowed (DESCENT_STORED_BYTES), or the jobs have used the "
        "seconds of devices of this day (DESCENT_DEVICE_SECONDS).",
        "`detail` says which. Delete data sets or jobs, or wait as long as Retry-After says; days end at midnight UTC.",
    ),
    "queue_full": Explained(
        HTTPStatus.TOO_MANY_REQUESTS,
        "As many jobs of an owner wait as are allowed (DESCENT_QUEUED_JOBS), or tasks of one job.",
        "Wait until some have ended, or cancel some.",
    ),
    "too_many_waiters": Explained(
        HTTPStatus.TOO_MANY_REQUESTS,
        "As many long-polls and event streams are open at this process as are allowed (DESCENT_WAITERS).",
        "Ask without `wait`, or again after Retry-After.",
    ),
    "internal_error": Explained(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Something went wrong in Descent. This is a bug.",
        "Report it with the `request_id`, by which the log names it.",
    ),
    "disk_full": Explained(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The disk is nearly full (DESCENT_FREE_DISK_BYTES): no job and no upload is taken; all else is answered.",
        "Delete what is not needed, or give it more room.",
    ),
    "storage_away": Explained(HTTPStatus.SERVICE_UNAVAILABLE, "The storage of files does not answer.", AGAIN),
    "not_stored": Explained(
        HTTPStatus.SERVICE_UNAVAILABLE, "The file is not in the storage, though the database knows it.", AGAIN
    ),
    "stored_damaged": Explained(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The file in the storage is not what was written there: its size or checksum differs.",
        "Restore it from a backup, or train the job again.",
    ),
    "database_away": Explained(
        HTTPStatus.SERVICE_UNAVAILABLE, "The database cannot be reached; nothing was changed.", AGAIN
    ),
    "database_busy": Explained(
        HTTPStatus.SERVICE_UNAVAILABLE, "All connections to the database are in use; nothing was changed.", AGAIN
    ),
    "migrations_missing": Explained(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The tables of the database are not those that this version needs.",
        "`python -m migrations.migrate`",
    ),
    "worker_lost": _of_job(
        "The worker was lost in so many attempts in a row, without progress between them (DESCENT_MAX_ATTEMPTS).",
        "`detail` says how the last one ended; `retry` begins anew.",
    ),
    "out_of_memory": _of_job(
        "Training needed more memory than the device has, twice.",
        "Take a smaller batch (`training.accumulate` keeps the result) or network, or ask for a larger device.",
    ),
    "no_bfloat16": _of_job("The device does not compute in bfloat16.", "`training.precision` float32 or auto."),
    "data_unavailable": _of_job("The data set could not be read by the worker.", "`detail` says why; then `retry`."),
    "machine_error": _of_job("The machine could not go on: a disk or a device failed.", "`retry`."),
    "training_error": _of_job("Training stopped with an error that is not the definition's.", "Report it."),
    "definition_not_understood": _of_job(
        "The job was accepted by another version, and this one does not understand its definition.",
        "Submit it anew, as the schema at `/v1/schema/job` says.",
    ),
    "not_recorded": _of_job("The numbers of the job could not be written.", "`retry`."),
    "model_unavailable": _of_job("The model of the job cannot be read.", "`detail` says why."),
}


PAGES: dict[str, Any] = {"problems": EXPLAINED, "findings": set(Code), "errors": ITEMS}
"""Of each kind of pages under /docs the codes that it has."""


def page_of(code: str) -> str:
    """The `type` of a problem: a page about it (RFC 9457, section 3.1.1), if there is one. A job may have failed for a
    finding, and a data set for one thing that is wrong in its file."""
    return next((f"/docs/{kind}/{code}" for kind, codes in PAGES.items() if code in codes), "about:blank")


def typed(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """The `error` of a job, a task or a data set, with its `type`."""
    return error and {"type": page_of(error["code"])} | error


def title_of(status: int) -> str:
    return RENAMED.get(status, HTTPStatus(status).phrase)


def body_of(
    status: int, code: str, detail: str, request_id: str | None, errors: Iterable[Problem] = ()
) -> dict[str, Any]:
    """A problem as it is answered (RFC 9457)."""
    return {
        "type": page_of(code),
        "title": title_of(status),
        "status": status,
        "code": code,
        "detail": detail,
        "errors": [item.plain() for item in errors],
        "request_id": request_id,
    }
