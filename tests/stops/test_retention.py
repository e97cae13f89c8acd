"""How long Kafka keeps what waits for stopped agents: counted down, extended by one click, put back by a command."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.admin import Positions
from agents.broker import Producer
from agents.topic_setup import keep_for, retentions
from agents.topics import DAY_MS, REQUESTS, RESPONSES_RAW, TOPICS, USER_RAW
from controlplane.audit.models import Entry
from controlplane.fresh import Fresh
from controlplane.home.problems import problems_of_retention
from controlplane.stops import actions, retention, waiting
from controlplane.stops.models import Stop
from controlplane.stops.retention import Kept, Retention, retention_of, topics_of
from controlplane.stops.waiting import Waiting, waiting_offsets
from tests.factories import make_admin, make_moderator, sign_in_now
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


@pytest.fixture
def ada(client: Client) -> User:
    user = make_admin()
    sign_in_now(client, user)
    return user


def soft(ada: User, scope: str = "everything", value: str = "") -> Stop:
    return actions.request_stop(
        mode="soft", scope=scope, value=value, reason="x", requester=ada
    )


def see(monkeypatch: pytest.MonkeyPatch, seen: Waiting | str) -> None:
    """Have had a look at a Kafka that says this."""
    look: Fresh[Waiting | str] = Fresh(lambda: seen)
    look.read()
    monkeypatch.setattr(waiting, "look", look)


def text(client: Client, stop: Stop) -> str:
    page = client.get(reverse("stops:stop", args=[stop.pk]))
    return " ".join(page.content.decode().split())


@pytest.mark.parametrize(
    ("waits", "kept", "state", "left"),
    [
        (None, 7 * DAY_MS, "empty", ""),
        (HOUR, -1, "for_ever", ""),
        (HOUR, 7 * DAY_MS, "fine", "3 d 10 h"),
        (11.5 * HOUR, DAY_MS, "near", "29 m 59 s"),
        (12.5 * HOUR, DAY_MS, "past", "30 m"),
    ],
)
def test_the_half_of_the_time_is_counted_from_the_oldest_that_waits(
    waits: timedelta | None, kept: int, state: str, left: str
) -> None:
    oldest_at = None if waits is None else timezone.now() - waits
    row = Kept(topic=USER_RAW, retention_ms=kept, oldest_at=oldest_at)

    assert row.state == state
    if left:
        assert row.left.startswith(left)
    assert Retention(rows=[row]).is_past == (state == "past")


@pytest.mark.parametrize(
    ("scope", "value", "expected"),
    [
        ("everything", "", {*REQUESTS, USER_RAW, RESPONSES_RAW}),
        ("tier", "pro", {"agent.requests.pro", USER_RAW, RESPONSES_RAW}),
        ("agent", "responder", {*REQUESTS}),
    ],
)
def test_what_the_stopped_agents_read_is_shown(
    scope: str, value: str, expected: set[str]
) -> None:
    found = topics_of(Stop(mode="soft", scope=scope, value=value)).keys()

    assert found - {"user.messages.cleaned"} == expected


def test_what_waits_begins_at_the_commit_and_not_before_the_log() -> None:
    seen = Positions(
        starts={("a", 0): 0, ("a", 1): 5, ("a", 2): 0, ("b", 0): 0},
        ends={("a", 0): 9, ("a", 1): 9, ("a", 2): 9, ("b", 0): 9},
        committed={"g": {("a", 0): 7, ("a", 1): 3, ("a", 2): 9}},
        recent=0,
    )

    assert waiting_offsets(seen, "g", ("a",)) == {("a", 0): 7, ("a", 1): 5}


def test_the_page_counts_down_and_warns_and_the_control_room_tells(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = soft(ada, "agent", "responder")
    free, pro, enterprise, background = REQUESTS
    now_ms = int(time.time() * 1000)
    hours_ms = 3_600_000
    seen = Waiting(
        retention_ms=dict.fromkeys(REQUESTS, DAY_MS) | {background: 14 * DAY_MS},
        oldest_ms={
            ("responder", free): now_ms - 2 * hours_ms,
            ("responder", pro): now_ms - int(11.5 * hours_ms),
            ("responder", enterprise): now_ms - 13 * hours_ms,
            ("input-guard", background): now_ms,  # of another agent
        },
    )
    see(monkeypatch, seen)

    page = text(client, stop)

    assert "in 9 h 59 m" in page or "in 10 h" in page
    assert '<span class="tag soft">Near</span> in 29 m' in page
    assert '<span class="tag stop">Past</span> since 1 h' in page
    assert "nothing waits" in page
    assert '14 d <span class="meta">declared: 7 d</span>' in page
    assert "Keep all of it for 2 days" in page
    [problem] = problems_of_retention([stop])
    assert "half of the time" in problem.what
    assert f"/stops/{stop.pk}/#retention" in client.get("/").content.decode()
    actions.release_stop(stop, reason="over", releaser=ada)
    actions.finish_release(stop, reason="over", finisher=ada)
    stop.refresh_from_db()
    assert retention_of(stop) is None
    assert "How long Kafka keeps" not in text(client, stop)
    client.force_login(make_moderator())
    again = soft(ada)
    assert "Keep all of it" not in text(client, again)


def test_no_page_waits_for_kafka(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, stop = threading.Event(), soft(ada)

    def look() -> str:
        answered.wait(10)
        return "Connection refused"

    monkeypatch.setattr(waiting, "look", Fresh(look))

    assert "Asking Kafka" in text(client, stop)
    answered.set()
    wait_for(lambda: "Kafka does not answer" in text(client, stop))
    assert "Connection refused" in text(client, stop)
    assert "Keep all of it" not in text(client, stop)


def test_a_kafka_that_does_not_confirm_is_told_and_on_record(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = soft(ada)
    see(monkeypatch, "nothing")
    monkeypatch.setattr(settings, "KAFKA", {"bootstrap.servers": "127.0.0.1:9"})
    monkeypatch.setattr(retention, "TIMEOUT_S", 0.3)

    response = client.post(reverse("stops:extend", args=[stop.pk]), {"days": "14"})

    assert response.status_code == 503
    assert b"Kafka has not confirmed it: " in response.content
    entry = Entry.objects.get(action="retention_not_extended")
    assert entry.actor == "ada"
    assert entry.detail["days"] == 14
    for days in ("", "0", "366", "x"):
        refused = client.post(reverse("stops:extend", args=[stop.pk]), {"days": days})
        assert refused.status_code == 422
        assert b"1 to 365" in refused.content


@pytest.fixture
def as_declared(kafka_topics: None) -> Iterator[None]:
    """Other tests find the topics as they are declared."""
    yield
    declared = {name: topic.retention_ms for name, topic in TOPICS.items()}
    keep_for(settings.KAFKA, declared, timeout_s=10)


@pytest.mark.usefixtures("as_declared")
def test_one_click_has_the_real_kafka_keep_it_for_longer_and_a_command_puts_it_back(
    client: Client, ada: User, capsys: pytest.CaptureFixture[str]
) -> None:
    stop = soft(ada, "agent", "input-guard")
    producer = Producer(settings.KAFKA)
    producer.publish(
        USER_RAW, key=None, value=b"", headers=[], delivered=lambda _: None
    )
    assert producer.flush(30) == 0  # a new Kafka begins slowly
    wait_for(lambda: "in 3 d 11 h" in text(client, stop))
    assert "Keep all of it for 14 days" in text(client, stop)
    address = reverse("stops:extend", args=[stop.pk])

    response = client.post(address, {"days": "14"})

    assert response["Location"] == f"/stops/{stop.pk}/#retention"
    assert kept() == {USER_RAW: 14 * DAY_MS, RESPONSES_RAW: 7 * DAY_MS}
    page = text(client, stop)  # what Kafka says, not what was asked for
    assert '14 d <span class="meta">declared: 7 d</span>' in page
    assert "Keep all of it for 28 days" in page
    client.post(address, {"days": "14"})  # pressed twice
    client.post(address, {"days": "1"})
    assert kept()[USER_RAW] == 14 * DAY_MS
    entry = Entry.objects.filter(action="retention_extended").order_by("pk")[0]
    assert (entry.actor, entry.subject) == ("ada", f"stop:{stop.pk}")
    assert entry.detail["before"] == {USER_RAW: 7 * DAY_MS}
    assert entry.detail["after"] == {USER_RAW: 14 * DAY_MS}

    call_command("topics", check=True)
    told = capsys.readouterr().out
    assert f"{USER_RAW} is kept for 14 d, longer than the 7 d declared" in told
    assert "topics --declared-retention" in told
    assert kept()[USER_RAW] == 14 * DAY_MS
    call_command("topics", declared_retention=True)
    assert f"{USER_RAW} is kept for 7 d" in capsys.readouterr().out
    assert kept()[USER_RAW] == 7 * DAY_MS


def kept() -> dict[str, int]:
    return retentions(settings.KAFKA, [USER_RAW, RESPONSES_RAW], timeout_s=10)


def test_only_a_soft_stop_that_is_not_over_has_it(client: Client, ada: User) -> None:
    hard = actions.request_stop(
        mode="hard", scope="everything", reason="x", requester=ada
    )
    fields: dict[str, Any] = {"days": "14"}

    assert retention_of(hard) is None
    assert (
        client.post(reverse("stops:extend", args=[hard.pk]), fields).status_code == 404
    )
