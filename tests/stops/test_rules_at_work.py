"""Automatic stops as they run: real guards' records, the gate's transaction, a worker, a person."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings

from agents import topics
from agents.events import FinalResponse, PendingResponse
from agents.host import conninfo
from agents.postgres import Database
from agents.runtime import Runtime
from agents.tools import Tools
from controlplane.chat.facts import facts_of
from controlplane.stops import actions, tripwire
from controlplane.stops.models import Stop, StopRule
from controlplane.stops.tripwire import Tripwire
from guardrails.actions import put_in_force
from guardrails.dealer import DEALER
from guardrails.models import RuleSet
from guardrails.rules import encode_rule_set, ruleset_hash
from guardrails.verdicts import Verdict
from tests.agents.stage import Stage, texts
from tests.chat.making import commit, event
from tests.factories import make_admin
from tests.guardrails.factories import make_masker
from tests.stops.rules import make_rule
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

OF = {"conversation_id": "c1", "tier": "free"}


class Guard:
    """Says what an output guard says of replies, and has the gate settle that."""

    def __init__(self) -> None:
        self._number = 0

    def says(self, *, flagged: int, passed: int) -> None:
        records = [self._held() for _ in range(flagged)]
        records += [self._passed() for _ in range(passed)]
        asyncio.run(_settle(records))

    def _turn(self) -> dict[str, Any]:
        self._number += 1
        return {"turn_id": f"t{self._number}", **OF}

    def _passed(self) -> Any:
        verdict = Verdict(action="allow")
        data = FinalResponse(text="It is blue.", verdict=verdict, **self._turn())
        return event(topics.RESPONSES_FINAL, data)

    def _held(self) -> Any:
        verdict = Verdict(action="escalate", team="discount")
        said = {"question": "?", "text": "25 % off", "team": "discount"}
        data = PendingResponse(verdict=verdict, **said, **self._turn())
        return event(topics.TEAM_PENDING["discount"], data)


async def _settle(records: list[Any]) -> None:
    database = Database(conninfo(), max_size=1)
    await database.open()
    try:
        await commit(database, *facts_of(records))
    finally:
        await database.close()


@pytest.fixture
def wires() -> list[Tripwire]:
    return []


@pytest.fixture
def runtime(
    stage: Stage, transactional_db: None, wires: list[Tripwire]
) -> Iterator[Runtime]:
    """A worker with an agent of its own and the tripwire, as the registry builds it."""
    StopRule.objects.all().delete()
    stored = RuleSet.objects.create(
        hash=ruleset_hash(DEALER), body=encode_rule_set(DEALER)
    )
    put_in_force(stored, reason="Start", publisher=make_admin("bob"))
    agent = stage.agent()

    def build(tools: Tools) -> Tripwire:
        wires.append(tripwire.tripwire(tools))
        return wires[0]

    running = Runtime(
        [lambda _: agent, build],
        conninfo=conninfo(),
        client=settings.KAFKA,
        scorers=settings.SCORERS,
        masker=make_masker(),
    )
    running.start()
    yield running
    running.stop()


def test_a_fifth_of_the_latest_replies_and_more_stop_a_worker_until_a_person_has_looked(
    stage: Stage, runtime: Runtime, wires: list[Tripwire]
) -> None:
    make_rule()
    guard, ada = Guard(), make_admin()
    agent = next(iter(runtime.seats.values())).agent
    guard.says(flagged=10, passed=40)
    wait_for(lambda: StopRule.objects.get().items == 50)
    assert not Stop.objects.exists()

    guard.says(flagged=11, passed=39)

    stop = wait_for(lambda: Stop.objects.exclude(proven_at=None).first())
    assert stop is not None
    assert stop.reason == (
        "flagged_share: 11 of the last 50 replies (22 %) flagged; trips above 20 %"
    )
    stage.send_all(agent.reads[0], ["a"])
    wait_for(lambda: runtime.statuses()[0]["why"] == "soft stop (everything)")
    guard.says(flagged=10, passed=0)
    _measured_again()
    assert Stop.objects.get().state == "proven"
    assert texts(agent.writes[0]) == []

    actions.release_stop(stop, reason="looked at them", releaser=ada)

    wait_for(lambda: texts(agent.writes[0]) == ["a"])
    _measured_again()
    assert not Stop.objects.in_force().exists()
    guard.says(flagged=12, passed=38)
    again = wait_for(lambda: Stop.objects.in_force().exclude(proven_at=None).first())
    assert again is not None
    assert "12 of the last 50 replies (24 %)" in again.reason
    wait_for(lambda: wires[0].status()["done"] == 2)


def _measured_again() -> None:
    before = StopRule.objects.get().measured_at
    wait_for(lambda: StopRule.objects.get().measured_at != before)
