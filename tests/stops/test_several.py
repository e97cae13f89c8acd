"""Several stops at once: the stricter wins, and each is released on its own."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.control import Connection, Control
from agents.host import conninfo
from agents.postgres import Database
from agents.rule_sets import RuleSets
from controlplane.audit.models import Entry
from controlplane.chat.models import Outcome
from controlplane.stops import actions
from controlplane.stops.models import Stop
from guardrails.actions import put_in_force
from guardrails.dealer import DEALER
from guardrails.models import RuleSet
from guardrails.rules import encode_rule_set, ruleset_hash
from tests.api.conftest import make_token
from tests.chat.making import commit, opened, reply
from tests.factories import make_admin, make_moderator, sign_in_now

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin() -> User:
    return make_admin()


@pytest.fixture
def connection(admin: User) -> Iterator[Connection]:
    stored = RuleSet.objects.create(
        hash=ruleset_hash(DEALER), body=encode_rule_set(DEALER)
    )
    put_in_force(stored, reason="Start", publisher=admin)
    with psycopg.connect(conninfo(), autocommit=True) as opened_one:
        yield opened_one


def engage(mode: str, scope: str = "everything", value: str = "") -> Stop:
    return actions.request_stop(
        mode=mode, scope=scope, value=value, reason="drill", requester="ada"
    )


def release(stop: Stop) -> None:
    assert actions.release_stop(stop, reason="over", releaser="ada")


def deliver(turn: str, tier: str) -> str:
    """Give the gate an answer; return what became of the turn."""

    async def go() -> None:
        database = Database(conninfo(), max_size=1)
        await database.open()
        facts = [opened(turn, turn, tier=tier), reply(turn, turn, tier=tier)]
        await commit(database, *facts)
        await database.close()

    asyncio.run(go())
    return Outcome.objects.get(turn=turn).state


def make_control(connection: Connection) -> Control:
    """Control state that is looked at by hand, with the rules in force."""
    rule_sets = RuleSets(conninfo())
    control = Control("", rule_sets=rule_sets)
    control.refresh(connection)
    rule_sets._make()
    control.refresh(connection)
    return control


def test_agents_start_when_the_last_soft_stop_that_covers_them_is_released(
    connection: Connection,
) -> None:
    control = make_control(connection)

    def why(tier: str) -> str:
        control.refresh(connection)
        return control.why_not("responder", "chat", tier)

    chat, free = engage("soft", "workflow", "chat"), engage("soft", "tier", "free")
    assert (why("free")[:9], why("pro")) == ("soft stop", "soft stop (workflow chat)")
    release(chat)
    assert (why("free"), why("pro")) == ("soft stop (tier free)", "")
    release(free)
    assert why("free") == ""


def test_an_answer_goes_out_when_no_hard_stop_covers_it_any_more() -> None:
    everything, pro = engage("hard"), engage("hard", "tier", "pro")
    assert (deliver("t1", "free"), deliver("t2", "pro")) == ("held", "held")
    release(everything)
    assert (deliver("t3", "free"), deliver("t4", "pro")) == ("delivered", "held")
    release(pro)
    assert deliver("t5", "pro") == "delivered"


def test_a_soft_and_a_hard_stop_hold_each_its_own(connection: Connection) -> None:
    control = make_control(connection)
    soft, hard = engage("soft"), engage("hard")
    release(hard)

    assert deliver("t1", "free") == "delivered"
    control.refresh(connection)
    assert control.why_not("responder", "chat") == "soft stop (everything)"
    assert list(Stop.objects.in_force()) == [soft]


def test_a_moderator_neither_stops_nor_releases_and_the_log_says_that_he_tried() -> (
    None
):

    made, mira, client = engage("hard"), make_moderator(), Client()
    sign_in_now(client, mira)
    token = {"Authorization": f"Bearer {make_token(mira)}"}
    fields = {"mode": "soft", "target": "everything", "reason": "x"}

    answers = [
        client.post(reverse("stops:index"), fields),
        client.post(reverse("stops:release", args=[made.pk]), fields),
        client.post("/api/stops", fields, "application/json", headers=token),
        client.post(
            f"/api/stops/{made.pk}/release", fields, "application/json", headers=token
        ),
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    refused = Entry.objects.filter(action="access_refused", actor="mira")
    assert refused.count() == 4
    assert list(Stop.objects.in_force()) == [made]
