"""What had gone out before a hard stop and no widget has said that it has: listed, counted, and told when it is fetched."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from controlplane.audit.models import Entry
from controlplane.chat.models import Message, Received, Turn
from controlplane.stops import actions, listed, unfetched
from controlplane.stops.models import Stop
from tests.factories import make_admin, make_conversation, make_turn, sign_in_now

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada(client: Client) -> User:
    user = make_admin()
    sign_in_now(client, user)
    return user


def answer(turn: Turn, **fields: Any) -> Message:
    """Do what the gate's transaction leaves of a delivery."""
    conversation = turn.conversation
    conversation.latest_seq += 1
    conversation.save(update_fields=["latest_seq"])
    with transaction.atomic():
        Entry.objects.create(
            actor="gate",
            action="reply_delivered",
            subject=f"turn:{turn.pk}",
            trace_id=turn.trace_id,
            detail={"seq": conversation.latest_seq},
            **fields,
        )
        return Message.objects.create(
            conversation=conversation,
            seq=conversation.latest_seq,
            turn=turn,
            role="assistant",
            text="x",
        )


def has(turn: Turn, seq: int) -> None:
    Received.objects.update_or_create(
        conversation_id=turn.conversation_id,
        defaults={"seq": seq, "at": timezone.now()},
    )


def stop(ada: User, **fields: str) -> Stop:
    made = actions.request_stop(
        mode="hard", reason="x", requester=ada, **({"scope": "everything"} | fields)
    )
    return actions.prove_stop(made, prover=ada)


def not_fetched(made: Stop) -> set[str]:
    return set(made.listed.filter(fate="not_fetched").values_list("turn_id", flat=True))


def test_what_went_out_and_nobody_has_fetched_is_listed_and_told_when_it_is(
    client: Client, ada: User
) -> None:
    fetched, mute, behind, open_turn = [make_turn() for _ in range(4)]
    has(fetched, answer(fetched).seq)
    answer(mute)  # its widget has never said anything
    has(behind, answer(behind).seq - 1)

    made = stop(ada)

    assert not_fetched(made) == {mute.pk, behind.pk}
    page = reverse("stops:stop", args=[made.pk])
    text = " ".join(client.get(page).content.decode().split())
    assert "2, fetched by now 0" in text
    assert text.count("not fetched yet") == 2
    assert "no widget had said that it has it <b>2</b>" in text
    has(mute, 2)
    text = " ".join(client.get(page).content.decode().split())
    assert "2, fetched by now 1" in text
    assert text.count("fetched since") == 1
    card = " ".join(client.get(reverse("stops:index")).content.decode().split())
    assert '<b class="figure">2</b><span class="meta"><a href' in card
    assert open_turn.trace_id[:8] not in text


def test_only_what_is_in_scope_of_the_day_before_and_committed_before_counts(
    ada: User,
) -> None:
    pro, free, old, between = [
        make_turn(make_conversation(), tier=tier)
        for tier in ("pro", "free", "pro", "pro")
    ]
    answer(pro)
    answer(free)
    answer(old, at=timezone.now() - unfetched.LOOKS_BACK - timedelta(minutes=1))
    made = actions.request_stop(
        mode="hard", scope="tier", value="pro", reason="x", requester=ada
    )
    answer(between)  # such are listed as what they are

    actions.prove_stop(made, prover=ada)
    actions.prove_stop(made, prover=ada)

    assert not_fetched(made) == {pro.pk}
    assert [row.turn_id for row in made.listed.filter(fate="delivered")] == [between.pk]
    assert Entry.objects.filter(action="stop_proven").count() == 1


def test_one_fate_can_be_shown_alone_page_by_page(
    client: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed, "FEW", 1)
    monkeypatch.setattr(listed, "MANY", 2)
    turns = [make_turn() for _ in range(3)]
    for turn in turns:
        answer(turn)
    made = stop(ada)
    page = reverse("stops:stop", args=[made.pk])

    everything = client.get(page).content.decode()
    alone = client.get(page, {"fate": "not_fetched"}).content.decode()
    more = listed.lists_of(made, fate="not_fetched").shown[0].more
    rest = client.get(
        page, {"fate": "not_fetched", "after": str(more)}
    ).content.decode()

    def shown(text: str) -> list[bool]:
        return [
            turn.trace_id[:8] in text for turn in reversed(turns)
        ]  # the newest first

    assert "Show all 3" in everything
    assert shown(everything) == [True, False, False]
    assert shown(alone) == [True, True, False]
    assert "The next of them" in alone
    assert shown(rest) == [False, False, True]
    assert "The next of them" not in rest
    assert 'id="delivered"' not in alone
    for query in ("fate=nothing", "fate=delivered&after=²"):
        assert client.get(f"{page}?{query}").status_code == 200


def test_a_soft_stop_lists_nothing(client: Client, ada: User) -> None:
    answer(make_turn())
    made = actions.request_stop(
        mode="soft", scope="everything", reason="x", requester=ada
    )

    actions.prove_stop(made, prover=ada)

    assert not made.listed.exists()
