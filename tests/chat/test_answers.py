"""What a widget is told while people have stopped something: of its own tier and conversation alone, and when it is over."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async

from agents.control_state import ControlState, Stop
from controlplane.chat import hub
from controlplane.chat.answers import Prospects
from controlplane.chat.resources import Resources
from controlplane.runtime.actions import switch_agent
from tests.chat.making import commit, lift_stops, opened, put_stop, rows
from tests.chat.widget import Widget
from tests.factories import make_admin
from tests.moderation.rows import publish_rules


class Told:
    """Control state as it was read; why says why agents may not start, by tier."""

    def __init__(self, *stops: Stop, why: dict[str, str] | None = None) -> None:
        self.state = ControlState(version=1, stops=stops)
        self.why = why or {}
        self.asked = 0

    def why_not(self, agent: str, workflow: str, tier: str) -> str:
        self.asked += 1
        return self.why.get(tier, "")


def answers(told: Any, tier: str = "free", conversation: str = "c_1") -> str:
    return Prospects(told).answers(tier=tier, conversation=conversation)


@pytest.mark.parametrize(
    ("scope", "value", "expected"),
    [
        ("everything", "", "by_people"),
        ("workflow", "chat", "by_people"),
        ("workflow", "leads", "flowing"),
        ("tier", "free", "by_people"),
        ("tier", "pro", "flowing"),
        ("conversation", "c_1", "by_people"),
        ("conversation", "c_2", "flowing"),
        ("agent", "output-guard", "by_people"),
        ("agent", "lead-writer", "flowing"),
    ],
)
def test_a_hard_stop_is_told_where_it_applies(
    scope: Any, value: str, expected: str
) -> None:
    told = Told(Stop(id="s", mode="hard", scope=scope, value=value))

    assert answers(told) == expected


def test_a_pause_comes_before_people_and_is_asked_once_a_tier() -> None:
    everything = Stop(id="s", mode="hard", scope="everything")
    told = Told(everything, why={"free": "soft stop"})
    prospects = Prospects(told)  # type: ignore[arg-type]

    for number in range(10):
        name = f"c_{number}"
        assert prospects.answers(tier="free", conversation=name) == "paused"
        assert prospects.answers(tier="pro", conversation=name) == "by_people"
    assert told.asked == 1 + 4  # all four agents of the chat may start for pro


def test_who_has_not_looked_yet_says_nothing() -> None:
    told = Told(why={"free": "control state is older than 3 s"})
    told.state = ControlState()

    assert answers(told) == "flowing"


@pytest.fixture
def rules(transactional_db: None) -> None:
    publish_rules()


async def change(kept: Resources) -> None:
    await rows(kept.database, "UPDATE runtime_controlversion SET version = version + 1")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("kafka_topics", "rules")
async def test_an_open_socket_hears_of_a_stop_and_of_its_end(
    kept: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "TICK_S", 0.05)
    admin = await sync_to_async(make_admin)()
    async with Widget() as free, Widget(tier="pro") as pro:
        await free.hello()
        await pro.hello()
        await commit(kept.database, opened("t1", pro.conversation_id, tier="pro"))
        await pro.status("checking")

        await put_stop(kept.database, scope="tier", value="free")
        await change(kept)
        assert (await free.receive("answers"))["state"] == "by_people"
        await put_stop(kept.database, mode="soft")
        await change(kept)
        assert (await free.receive("answers"))["state"] == "paused"
        assert (await pro.receive("answers"))["state"] == "paused"
        async with Widget() as late:
            assert (await late.hello())["answers"] == "paused"
        await lift_stops(kept.database)
        await change(kept)
        for widget in (free, pro):
            assert (await widget.receive("answers"))["state"] == "flowing"
        for paused, state in [(True, "paused"), (False, "flowing")]:
            await sync_to_async(switch_agent)(
                "responder", paused=paused, reason="drill", actor=admin
            )
            assert (await free.receive("answers"))["state"] == state
        assert [
            frame["state"] for frame in pro.frames if frame["type"] == "answers"
        ] == ["paused", "flowing"]
