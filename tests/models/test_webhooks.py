"""The outbox of webhooks: written with what it tells of, claimed once, repeated, given up."""

from contextlib import suppress

import pytest
from sqlalchemy import select, update

from models import deliveries, delivery_log, figures, webhooks
from models.database import Database, database_now
from models.deliveries import Message, Outcome
from models.errors import NotFound, QueueFull, TooManyWebhooks
from models.lifecycle import cancel, pause, remove, resume
from models.outbox import FREQUENT, State
from models.recording import record
from models.reports import Checkpointed, EpochEnded
from models.submission import retry, submit
from models.tables import Delivery, Job, Webhook
from tests.factories import OWNER, a_claim, a_definition, a_queued_job
from tests.statements import statements

URL = "https://example.com/hooks"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVERYTHING = ("job.queued", "job.started", "job.epoch", "job.checkpoint", "job.paused", "job.resumed", "job.cancelled")
PAUSES = (5.0, 30.0)
LEASE_SECONDS = 45.0
FAILED = Outcome(500, "status", "The receiver answered 500.", "", 0.1)
DELIVERED = Outcome(200, answer="ok", seconds=0.1)


def a_webhook(database: Database, *events: str, owner: str = OWNER) -> str:
    with database.write() as connection:
        row, _ = webhooks.create(connection, owner, "", URL, events or EVERYTHING)
    return str(row.id)


def rows(database: Database) -> list[Delivery]:
    with database.read() as connection:
        return list(connection.execute(select(Delivery.__table__).order_by(Delivery.id)))  # type: ignore[arg-type]


def types(database: Database) -> list[str]:
    return [row.type for row in rows(database)]


def take(database: Database, *busy: str) -> Message | None:
    with database.write() as connection:
        return deliveries.claim(connection, LEASE_SECONDS, busy)


def settle(database: Database, message: Message | None, outcome: Outcome) -> bool:
    assert message is not None
    with database.write() as connection:
        return deliveries.settle(connection, message, outcome, PAUSES)


def make_due(database: Database) -> None:
    """As if the time had passed."""
    with database.write() as connection:
        connection.execute(update(Delivery).where(Delivery.due_at.is_not(None)).values(due_at=database_now() - 1))


def test_what_happens_to_a_job_is_written_for_those_who_asked(database: Database) -> None:
    all_of_it, ends = a_webhook(database), a_webhook(database, "job.cancelled")
    a_webhook(database, owner="key_other")
    job = a_queued_job(database)
    for move in (pause, resume):
        with database.write() as connection:
            move(connection, job, OWNER)
    with database.write() as connection:
        cancel(connection, job, OWNER, "graceful")
    told = [(row.webhook_id, row.type) for row in rows(database)]
    assert told == [
        *((all_of_it, f"job.{kind}") for kind in ("queued", "paused", "resumed")),
        *sorted((webhook, "job.cancelled") for webhook in (all_of_it, ends)),
    ]
    assert {(row.job_id, row.owner, row.status) for row in rows(database)} == {(job, OWNER, State.PENDING)}


def test_what_is_rolled_back_is_not_told(database: Database) -> None:
    a_webhook(database)
    with suppress(QueueFull), database.write() as connection:
        for _ in range(2):
            submit(connection, a_definition(), OWNER, 1)
    assert rows(database) == []


def test_of_many_epochs_one_message_waits_at_a_time(database: Database) -> None:
    a_webhook(database, *FREQUENT)
    a_queued_job(database)
    held = a_claim(database)
    epochs = [EpochEnded(epoch, epoch, {"train_loss": 1.0}, best=True, seconds=0.1) for epoch in (1, 2, 3)]
    for batch, reports in enumerate(([*epochs, Checkpointed("c", 3, 3, 10, 0.1)], [epochs[0]]), 1):
        with database.write() as connection:
            record(connection, held, reports, 0.0, batch)
    assert types(database) == list(FREQUENT)
    settle(database, take(database), DELIVERED)
    with database.write() as connection:
        record(connection, held, [epochs[1]], 0.0, 3)
    assert types(database) == [*FREQUENT, FREQUENT[0]]


def test_without_webhooks_an_event_costs_one_question(database: Database) -> None:
    a_queued_job(database)
    held = a_claim(database)
    epochs = [EpochEnded(epoch, epoch, {"train_loss": 1.0}, best=True, seconds=0.1) for epoch in (1, 2, 3)]
    with database.write() as connection, statements(database) as executed:
        record(connection, held, epochs, 0.0, 1)
    assert len([one for one in executed if "webhooks" in one]) == 1
    assert not any("deliveries" in one for one in executed)


def test_a_callback_is_told_of_its_job_alone_and_goes_on_with_the_secret_of_its_parent(database: Database) -> None:
    callback = {"url": URL, "events": ["job.queued", "job.cancelled"], "secret": SECRET}
    first = a_queued_job(database, callback=callback)
    a_queued_job(database)
    assert [(row.job_id, row.type) for row in rows(database)] == [(first, "job.queued")]
    with database.read() as connection:
        stored = connection.scalar(select(Job.definition).where(Job.id == first))
        [hook] = webhooks.list_webhooks(connection, OWNER, first, None, 10)
        assert webhooks.list_webhooks(connection, OWNER, None, None, 10) == []
    assert stored["callback"] == callback | {"secret": None}
    assert (hook.job_id, hook.url) == (first, URL)
    with database.write() as connection:
        cancel(connection, first, OWNER, "graceful")
    with database.write() as connection:
        child = retry(connection, first, OWNER, 10)
    with database.write() as connection:
        secrets = connection.execute(select(Webhook.job_id, Webhook.secret)).all()
        remove(connection, first, OWNER)
    assert sorted(map(tuple, secrets)) == sorted([(first, SECRET), (child, SECRET)])
    assert {row.job_id for row in rows(database)} == {child}


def test_two_senders_never_hold_the_same(database: Database) -> None:
    a_webhook(database)
    ids = [a_queued_job(database) for _ in range(3)]
    taken = [take(database) for _ in range(4)]
    assert [message and message.job_id for message in taken] == [*ids, None]


def test_a_sender_that_is_lost_leaves_its_message_to_another_and_writes_nothing_more(database: Database) -> None:
    a_webhook(database)
    a_queued_job(database)
    lost = take(database)
    assert take(database) is None
    [held] = rows(database)
    with database.read() as connection:
        assert connection.scalar(select(held.due_at - database_now())) == pytest.approx(LEASE_SECONDS, abs=5)
    make_due(database)
    found = take(database)
    assert lost
    assert found
    assert (found.id, found.attempt) == (lost.id, lost.attempt + 1)
    assert not settle(database, lost, DELIVERED)
    assert settle(database, found, DELIVERED)
    assert [row.status for row in rows(database)] == [State.DELIVERED]


def test_a_message_is_given_up_after_its_pauses_and_can_be_sent_again(database: Database) -> None:
    webhook = a_webhook(database)
    a_queued_job(database)
    for number in (1, 2, 3):
        message = take(database)
        assert message
        assert message.number == number
        settle(database, message, FAILED)
        [row] = rows(database)
        if row.due_at is not None:
            with database.read() as connection:
                left = connection.scalar(select(row.due_at - database_now()))
            assert PAUSES[number - 1] - 1 < left <= PAUSES[number - 1] * 1.2
        make_due(database)
    [row] = rows(database)
    assert (row.status, row.due_at, len(row.attempts)) == (State.FAILED, None, 3)
    assert row.attempts[0] | {"at": 0} == {
        "attempt": 1, "at": 0, "status": 500, "error": "status", "detail": FAILED.detail, "answer": "", "seconds": 0.1
    }  # fmt: skip
    with database.write() as connection:
        delivery_log.redeliver(connection, row.id)
        delivery_log.redeliver(connection, row.id)
    message = take(database)
    assert message
    assert (message.number, message.attempt) == (1, 4)
    settle(database, message, DELIVERED)
    with database.read() as connection:
        [shown] = delivery_log.deliveries_of(connection, webhook, "delivered", None, 10)
    assert [attempt["error"] for attempt in shown.attempts] == ["status"] * 3 + [None]


@pytest.mark.parametrize(
    ("asked", "least", "most"), [(None, 5, 6), (1, 5, 6), (100, 100, 120), (1e9, 86_400, 86_400 * 1.2)]
)
def test_a_receiver_may_ask_for_a_longer_pause(asked: float | None, least: float, most: float) -> None:
    assert least <= deliveries.pause(5, asked) <= most


def test_a_receiver_that_is_gone_is_disabled_and_what_waits_for_it_is_given_up(database: Database) -> None:
    webhook = a_webhook(database)
    a_queued_job(database)
    a_queued_job(database)
    settle(database, take(database), Outcome(410, "gone", is_gone=True))
    with database.read() as connection:
        assert webhooks.find(connection, webhook, OWNER).disabled_reason == webhooks.GONE
    assert take(database) is None
    assert [(row.status, row.attempts[-1]["error"]) for row in rows(database)] == [
        (State.FAILED, "gone"),
        (State.FAILED, "disabled"),
    ]
    a_queued_job(database)
    assert len(rows(database)) == 2
    with database.write() as connection:
        webhooks.change(connection, webhook, OWNER, {"enabled": True})
    a_queued_job(database)
    assert len(rows(database)) == 3


def test_owners_that_have_their_share_are_passed_over(database: Database) -> None:
    a_webhook(database)
    a_queued_job(database)
    assert take(database, OWNER) is None
    assert take(database, "key_other") is not None


def test_a_message_to_nobody_goes(database: Database) -> None:
    a_webhook(database)
    a_queued_job(database)
    with database.write() as connection:
        connection.execute(Webhook.__table__.delete())  # type: ignore[attr-defined]
    assert take(database) is None
    assert rows(database) == []


def test_both_secrets_hold_until_the_overlap_ends(database: Database) -> None:
    webhook = a_webhook(database)
    a_queued_job(database)
    with database.write() as connection:
        new = webhooks.rotate(connection, webhook, OWNER, None, overlap_seconds=60)
    message = take(database)
    assert message
    assert message.secrets[0] == new
    assert len(message.secrets) == 2
    assert new not in repr(message)
    with database.write() as connection:
        assert webhooks.rotate(connection, webhook, OWNER, SECRET, overlap_seconds=0) == SECRET
    make_due(database)
    message = take(database)
    assert message
    assert message.secrets == (SECRET,)


def test_a_repeated_rotation_keeps_the_secret_before(database: Database) -> None:
    webhook = a_webhook(database)
    a_queued_job(database)
    for _ in range(2):
        with database.write() as connection:
            webhooks.rotate(connection, webhook, OWNER, SECRET, overlap_seconds=60)
    message = take(database)
    assert message
    assert message.secrets[0] == SECRET
    assert set(message.secrets[1:]) - {SECRET}


def test_the_backlog_is_counted_and_its_age_measured(database: Database) -> None:
    with database.read() as connection:
        assert figures.read_figures(connection, 60).untold == figures.Line(0, 0.0)
    a_webhook(database)
    a_queued_job(database)
    a_queued_job(database)
    settle(database, take(database), DELIVERED)
    with database.write() as connection:
        connection.execute(update(Delivery).values(pending_since=Delivery.pending_since - 100))
    with database.read() as connection:
        backlog = figures.read_figures(connection, 60).untold
    assert backlog.count == 1
    assert backlog.age_seconds == pytest.approx(100, abs=5)


def test_the_log_forgets_what_ended_long_ago(database: Database) -> None:
    a_webhook(database)
    a_queued_job(database)
    a_queued_job(database)
    settle(database, take(database), DELIVERED)
    for kept, left in ((3600.0, 2), (-1.0, 1)):
        with database.write() as connection:
            delivery_log.sweep(connection, kept)
        assert len(rows(database)) == left
    assert rows(database)[0].status == State.PENDING


def test_an_owner_has_a_bounded_number_and_sees_no_others(database: Database) -> None:
    webhook = a_webhook(database)
    for _ in range(webhooks.MOST - 1):
        a_webhook(database)
    with pytest.raises(TooManyWebhooks):
        a_webhook(database)
    a_webhook(database, owner="key_other")
    with pytest.raises(NotFound), database.write() as connection:
        webhooks.remove(connection, webhook, "key_other")
