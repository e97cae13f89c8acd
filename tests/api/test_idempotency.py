"""Idempotency-Key: the same request again gets the first answer, and does nothing."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from controlplane.api import actions, tasks
from controlplane.api.models import KeptAnswer
from controlplane.audit.actions import OutsideTransactionError
from controlplane.audit.models import Entry
from controlplane.stops.actions import request_stop
from controlplane.stops.models import Stop
from moderation.models import Approval, Decision
from tests.api.conftest import make_token
from tests.api.test_tokens import problem
from tests.factories import make_admin, make_approval, make_turn, make_user

STOP = {"mode": "hard", "scope": "everything", "reason": "drill"}
Request = tuple[str, dict[str, str]]


@pytest.fixture
def token() -> str:
    return make_token(make_admin())


def post(token: str, request: Request, key: str = "k1", **changes: str) -> Any:
    path, body = request
    return Client().post(
        path,
        json.dumps(body | changes),
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}", "Idempotency-Key": key},
    )


def engaging() -> Request:
    return "/api/stops", STOP


def releasing() -> Request:
    stop = request_stop(**STOP, requester=make_user("ida", "admin"))
    return f"/api/stops/{stop.pk}/release", {"reason": "over"}


def deciding() -> Request:
    approval = make_approval()
    body = {"verdict": "approve", "fingerprint": approval.fingerprint}
    return f"/api/approvals/{approval.pk}/decision", body


each_action = pytest.mark.parametrize(
    ("make", "status", "logged"),
    [
        (engaging, 201, "stop_requested"),
        (releasing, 200, "stop_released"),
        (deciding, 200, "reply_approved"),
    ],
    ids=["engaging", "releasing", "deciding"],
)


@pytest.mark.django_db
@each_action
def test_the_same_again_gets_the_first_answer_and_acts_once(
    token: str, make: Callable[[], Request], status: int, logged: str
) -> None:
    request = make()
    first = post(token, request)

    again = post(token, request)

    assert (first.status_code, again.status_code) == (status, status), first.content
    assert again.content == first.content
    assert Entry.objects.filter(action=logged).count() == 1


@pytest.mark.django_db
def test_a_key_belongs_to_one_request(token: str) -> None:
    request, other = engaging(), releasing()
    post(token, request)

    told = problem(post(token, request, reason="another"), 409)
    assert told["code"] == "idempotency_key_reused"
    assert problem(post(token, other), 409)["code"] == "idempotency_key_reused"
    assert Stop.objects.in_force().count() == 1


@pytest.mark.django_db
def test_a_key_belongs_to_one_token(token: str) -> None:
    other = make_token(make_user("ida", "admin"))

    assert post(token, engaging()).status_code == 201
    assert post(other, engaging()).status_code == 200
    assert KeptAnswer.objects.count() == 2


@pytest.mark.django_db
def test_without_a_key_nothing_is_kept(token: str) -> None:
    assert post(token, engaging(), key="").status_code == 201
    assert post(token, engaging(), key="").status_code == 200
    assert not KeptAnswer.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["k" * 101, "with blank", "clé"])
def test_a_key_that_cannot_be_kept_is_refused(token: str, key: str) -> None:
    told = problem(post(token, engaging(), key=key), 422)

    assert [error["at"] for error in told["errors"]] == ["header.Idempotency-Key"]
    assert not Stop.objects.exists()


@pytest.mark.django_db
def test_a_refusal_is_not_kept(token: str) -> None:
    request = path, body = deciding()
    approval = Approval.objects.get()
    make_turn(approval.turn.conversation, text="hello?")

    told = problem(post(token, request), 409)
    assert told["code"] == "stale_fingerprint"

    assert post(token, (path, body), fingerprint=told["fingerprint"]).status_code == 200


@pytest.mark.django_db
def test_after_a_day_the_key_is_free_again(token: str) -> None:
    request = engaging()
    post(token, request)
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=24))

    assert post(token, request).status_code == 200  # acts: it is in force already
    assert post(token, request, reason="another").status_code == 409
    assert KeptAnswer.objects.count() == 1


@pytest.mark.django_db
def test_what_is_older_than_a_day_is_removed_by_beat(token: str) -> None:
    post(token, engaging(), key="old")
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=25))
    post(token, engaging(), key="new")

    tasks.forget_answers()

    assert [row.key for row in KeptAnswer.objects.all()] == ["new"]
    scheduled = {each["task"] for each in settings.CELERY_BEAT_SCHEDULE.values()}
    assert tasks.forget_answers.name in scheduled


@pytest.mark.django_db(transaction=True)
def test_an_answer_is_kept_by_the_transaction_that_acts_alone(token: str) -> None:
    with pytest.raises(OutsideTransactionError):
        actions.keep_answer(None, key="k", request_sha256="", status=200, body={})  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
@each_action
def test_two_at_once_act_once_and_get_one_answer(
    token: str, make: Callable[[], Request], status: int, logged: str
) -> None:
    request = make()
    barrier = threading.Barrier(2)
    answers: list[tuple[int, str]] = []

    def send() -> None:
        barrier.wait()
        response = post(token, request)
        answers.append((response.status_code, response.json().get("id", "")))
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(answers) == 2
    # Who comes between request and proof hears what was kept until then.
    assert {code for code, _ in answers} <= {
        status,
        202 if make is engaging else status,
    }
    assert len({one for _, one in answers}) == 1
    assert Entry.objects.filter(action=logged).count() == 1
    assert Decision.objects.count() == (1 if make is deciding else 0)
