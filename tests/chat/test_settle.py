"""The gate's transaction on PostgreSQL: what each fact writes, alone and in batches."""

import asyncio
import random

import pytest

from agents import topics
from agents.agent import UnavailableError
from agents.events import PendingResponse
from agents.postgres import Database
from controlplane.chat.facts import facts_of
from controlplane.chat.settle_writes import Limits
from controlplane.chat.turns import Fact
from guardrails.verdicts import Verdict
from tests.chat.making import (
    commit,
    decide,
    decided,
    event,
    failed,
    finding,
    hold,
    lift_stops,
    opened,
    put_stop,
    reply,
    rows,
    states_of,
    transcript_of,
)

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_question_and_its_answer_are_the_transcript(database: Database) -> None:
    await commit(database, opened(user="u_1", tier="pro"), reply())

    assert await transcript_of(database) == [
        "1 user question t1",
        "2 assistant answer t1",
    ]
    assert await states_of(database) == {"t1": "delivered"}
    assert await rows(
        database,
        'SELECT "user", tier, latest_turn, passed_turn, latest_seq FROM chat_conversation',
    ) == [("u_1", "pro", 1, 1, 2)]


async def test_a_delivery_is_audited_with_the_hash_of_its_text(
    database: Database,
) -> None:
    await commit(database, opened(), reply(text="hello"), actor="gate")

    [[actor, subject, trace, detail]] = await rows(
        database,
        "SELECT actor, subject, trace_id, detail FROM audit_entry WHERE action = 'reply_delivered'",
    )
    assert (actor, subject, trace) == ("gate", "turn:t1", "ab" * 16)
    assert detail == {
        "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        "seq": 2,
        "kind": "reply",
        "reviewed": False,
        "record": "final-t1",
    }


async def test_a_held_answer_waits_as_an_approval(database: Database) -> None:
    settled = await commit(database, opened(), hold(), limits=Limits(approval_s=60))

    assert len(settled.plan.approvals) == 1
    [[team, state, text, why, seconds]] = await rows(
        database,
        "SELECT team, state, text, why, round(extract(epoch FROM deadline_at - created_at)) "
        "FROM moderation_approval",
    )
    assert (team, state, text, why, seconds) == (
        "discount",
        "pending",
        "risky t1",
        "25 over 5",
        60,
    )
    assert await states_of(database) == {"t1": "held"}


async def test_a_held_answer_without_a_team_goes_to_the_general_one(
    database: Database,
) -> None:
    await commit(database, opened(), hold(team=""))

    assert await rows(database, "SELECT team FROM moderation_approval") == [
        ("general",)
    ]


@pytest.mark.parametrize("state", ["approved", "rejected"])
async def test_what_a_person_decided_reaches_the_user(
    database: Database, state: str
) -> None:
    await commit(database, opened(), hold())
    approval = await decide(database, state=state, text="decided")

    await commit(database, decided(state, approval, text="decided"))

    assert await transcript_of(database) == [
        "1 user question t1",
        "2 assistant decided",
    ]
    assert await rows(
        database, "SELECT reviewed FROM chat_message WHERE role = 'assistant'"
    ) == [(True,)]


@pytest.mark.parametrize(
    "approval", ["no-uuid", "6b1d3b0e-7d5c-5b1e-9a53-2f0c6f5f2a41", ""]
)
async def test_a_forged_approval_is_refused_and_kept(
    database: Database, approval: str
) -> None:
    await commit(database, opened(), hold())

    await commit(database, decided("approved", approval))

    assert await states_of(database) == {"t1": "held"}
    assert await rows(database, "SELECT outcome_state FROM chat_duplicate") == [
        ("held",)
    ]
    assert await rows(
        database,
        "SELECT detail->>'reason' FROM audit_entry WHERE action = 'record_refused'",
    ) == [("no such approval",)]


async def test_an_approval_without_a_decision_is_not_approved(
    database: Database,
) -> None:
    await commit(database, opened(), hold())
    approval = await decide(database, with_decision=False)

    await commit(database, decided("approved", approval))

    assert await states_of(database) == {"t1": "held"}


async def test_a_failed_turn_keeps_its_reason(database: Database) -> None:
    await commit(database, opened(), failed(reason="the model is gone"))

    assert await rows(database, "SELECT state, reason FROM chat_outcome") == [
        ("failed", "the model is gone")
    ]


async def test_duplicates_are_history_and_kept_once(database: Database) -> None:
    other = reply(record_id="other", coordinates=("agent.responses.final", 3, 99))
    await commit(database, opened(), reply())
    await commit(database, other)
    await commit(database, other)

    assert await rows(
        database,
        'SELECT record_id, turn_id, topic, partition, "offset", outcome_state FROM chat_duplicate',
    ) == [("other", "t1", "agent.responses.final", 3, 99, "delivered")]
    assert await transcript_of(database) == [
        "1 user question t1",
        "2 assistant answer t1",
    ]


async def test_everything_may_be_settled_again(database: Database) -> None:
    facts = [
        opened("t1"),
        reply("t1"),
        opened("t2"),
        hold("t2"),
        opened("t3"),
        failed("t3"),
    ]
    await commit(database, *facts)
    before = await transcript_of(database), await states_of(database)

    await commit(database, *facts)

    assert (await transcript_of(database), await states_of(database)) == before
    assert await rows(database, "SELECT count(*) FROM chat_duplicate") == [(0,)]


async def test_a_batch_of_many_conversations_is_one_transaction(
    database: Database,
) -> None:
    facts: list[Fact] = []
    for number in range(100):
        facts += [opened(f"t{number}", f"c{number}"), reply(f"t{number}", f"c{number}")]

    settled = await commit(database, *facts)

    assert len(settled.conversations) == 100
    assert await rows(
        database, "SELECT count(*), count(DISTINCT xmin::text) FROM chat_message"
    ) == [(200, 1)]


async def test_nothing_to_settle_is_nothing(database: Database) -> None:
    settled = await commit(database)

    assert settled.conversations == frozenset()
    assert await rows(database, "SELECT count(*) FROM chat_conversation") == [(0,)]


async def test_a_poke_of_a_conversation_that_is_not_there_is_nothing(
    database: Database,
) -> None:
    await commit(database, poke=["nobody"])

    assert await rows(database, "SELECT count(*) FROM chat_conversation") == [(0,)]


async def test_an_answer_from_outside_makes_its_conversation_and_waits_for_its_question(
    database: Database,
) -> None:
    await commit(database, reply(tier="pro"))

    assert await transcript_of(database) == []
    assert await rows(database, "SELECT tier FROM chat_conversation") == [("pro",)]
    await commit(database, opened(tier="pro"))
    await commit(database, opened(tier="pro"), reply(tier="pro"))
    assert await transcript_of(database) == [
        "1 user question t1",
        "2 assistant answer t1",
    ]


async def test_questions_that_the_intake_has_not_read_keep_their_order(
    database: Database,
) -> None:
    await commit(database, opened("t0"), reply("t0"))
    await rows(  # as the ingress does
        database,
        "INSERT INTO chat_turn (id, conversation_id, number, client_id, text, trace_id, tier, "
        "created_at, deadline_at) SELECT 't' || n, 'c1', n + 1, '', 'question t' || n, '', 'free', "
        "now(), now() FROM generate_series(1, 2) n",
    )
    await rows(database, "UPDATE chat_conversation SET latest_turn = 3")

    for fact in (hold("t2"), opened("t1"), opened("t2"), opened("t1")):
        await commit(database, fact)

    assert await transcript_of(database) == [
        "1 user question t0",
        "2 assistant answer t0",
        "3 user question t1",
        "4 user question t2",
    ]


async def test_texts_of_eight_kilobytes_are_kept_whole(database: Database) -> None:
    question, answer = "ä" * 4_096, "€" * 2_730

    await commit(database, opened(text=question), reply(text=answer))

    assert await transcript_of(database) == [
        f"1 user {question}",
        f"2 assistant {answer}",
    ]


async def test_an_answer_and_a_verdict_with_nul_in_them_are_held_like_any_other(
    database: Database,
) -> None:
    pending = PendingResponse(
        turn_id="t1",
        conversation_id="c1",
        tier="free",
        question="how\x00much?",
        text="take 25\x00%",
        team="discount",
        verdict=Verdict(
            action="escalate", team="discount", findings=(finding(said="25\x00%"),)
        ),
    )

    await commit(database, opened(), *facts_of([event(topics.PENDING, pending)]))

    [[text, why, kept]] = await rows(
        database, "SELECT text, why, verdict FROM moderation_approval"
    )
    assert text == "take 25␀%"
    assert why == "Discount above the limit: “25␀%”"
    assert kept["findings"][0]["said"] == "25␀%"


# Concurrency


async def test_two_settlements_of_one_conversation_wait_for_each_other(
    database: Database,
) -> None:
    await commit(database, opened())

    await asyncio.gather(
        *(
            commit(database, reply(record_id=f"r{n}", text=f"answer {n}"))
            for n in range(10)
        )
    )

    [question, answer] = await transcript_of(database)
    assert question == "1 user question t1"
    assert answer.startswith("2 assistant answer ")
    assert await rows(database, "SELECT count(*) FROM chat_duplicate") == [(9,)]


async def test_racing_settlements_number_the_transcript_without_gaps(
    database: Database,
) -> None:
    facts = [opened(f"t{n}") for n in range(20)] + [reply(f"t{n}") for n in range(20)]
    random.shuffle(facts)

    await asyncio.gather(*(commit(database, fact) for fact in facts))

    numbers = [int(line.split()[0]) for line in await transcript_of(database)]
    assert numbers == list(range(1, 41))


async def test_settlements_in_any_order_of_conversations_never_deadlock(
    database: Database,
) -> None:
    for number in range(50):
        names = [f"c{number}-{n}" for n in range(6)]
        batches = [random.sample(names, len(names)) for _ in range(4)]
        await asyncio.gather(
            *(
                commit(database, *(opened(f"{name}-{b}", name) for name in batch))
                for b, batch in enumerate(batches)
            )
        )

    [[deadlocks]] = await rows(
        database,
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
    )
    assert deadlocks == 0
    assert await rows(database, "SELECT count(*) FROM chat_message") == [(50 * 24,)]


async def test_postgresql_away_is_said_so(database: Database) -> None:
    await database.close()

    with pytest.raises(UnavailableError):
        await commit(database, opened())


# Scopes of stops as rows


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        ("everything", ""),
        ("workflow", "chat"),
        ("agent", "output-guard"),
        ("tier", "pro"),
        ("conversation", "c1"),
    ],
)
async def test_a_hard_stop_in_force_holds_and_its_release_delivers_nothing(
    database: Database, scope: str, value: str
) -> None:
    await put_stop(database, scope=scope, value=value)
    await commit(database, opened(tier="pro"), reply(tier="pro"))
    await lift_stops(database)
    await commit(database, reply(tier="pro"), poke=["c1"])

    assert await transcript_of(database) == ["1 user question t1"]
    assert await states_of(database) == {"t1": "held"}


async def test_a_soft_stop_does_not_keep_answers_from_users(database: Database) -> None:
    await put_stop(database, mode="soft")

    await commit(database, opened(), reply())

    assert await states_of(database) == {"t1": "delivered"}


async def test_a_stop_on_a_tier_covers_turns_that_came_with_it(
    database: Database,
) -> None:
    await commit(database, opened("t1", tier="free"), reply("t1", tier="free"))
    await put_stop(database, scope="tier", value="pro")

    await commit(database, opened("t2", tier="pro"), reply("t2", tier="pro"))

    assert await states_of(database) == {"t1": "delivered", "t2": "held"}


async def test_a_conversation_that_an_answer_opened_is_its_first_writers(
    database: Database,
) -> None:
    await commit(database, reply("t1"))  # before the intake read the question
    await commit(database, opened("t2", user="u_2"))
    await commit(database, opened("t1", user="u_1"))

    assert await rows(database, 'SELECT "user" FROM chat_conversation') == [("u_1",)]


async def test_a_conversation_that_nobody_owns_is_nobody_elses(
    database: Database,
) -> None:
    await commit(database, opened("t1", user=""))
    await commit(database, opened("t2", user="u_2"))

    assert await rows(database, 'SELECT "user" FROM chat_conversation') == [("",)]


async def test_a_conversation_has_the_tier_of_its_newest_turn(
    database: Database,
) -> None:
    await commit(database, opened("t1", tier="free"))
    await commit(database, opened("t2", tier="pro"))
    await commit(database, reply("t1", tier="free"))

    assert await rows(database, "SELECT tier FROM chat_turn ORDER BY number") == [
        ("free",),
        ("pro",),
    ]
    assert await rows(database, "SELECT tier FROM chat_conversation") == [("pro",)]


@pytest.mark.parametrize(("tier", "state"), [("free", "delivered"), ("pro", "held")])
async def test_a_turn_without_a_tier_has_that_of_the_newest(
    database: Database, tier: str, state: str
) -> None:
    await commit(database, opened("t1", tier="free"))
    await commit(database, opened("t2", tier=tier))
    await rows(database, "UPDATE chat_turn SET tier = '' WHERE id = 't1'")
    await put_stop(database, scope="tier", value="pro")

    await commit(database, reply("t1"))

    assert (await states_of(database))["t1"] == state


async def test_a_stop_on_a_tier_covers_what_waits_for_an_earlier_turn(
    database: Database,
) -> None:
    await commit(database, opened("t1", tier="free"))
    await commit(database, opened("t2", tier="pro"))
    await commit(database, reply("t2", tier="pro"))
    await put_stop(database, scope="tier", value="pro")

    await commit(database, reply("t1", tier="free"))

    assert await states_of(database) == {"t1": "delivered", "t2": "held"}
