"""What a query reads does not grow with what is settled: plans, not timings."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.postgres import Database
from controlplane.chat import settle, sweeper, transcript
from controlplane.home import figures
from controlplane.stops import measures
from tests.chat.making import rows
from tests.owner import connect_as_owner

pytestmark = pytest.mark.django_db(transaction=True)

TURNS = 10_000


@pytest.fixture
async def crowded(database: Database) -> Database:
    """One conversation with 10,000 settled turns and an open one; 20,000 turns of others."""
    for statement in (
        (
            'INSERT INTO chat_conversation (id, "user", tier, workflow, latest_turn, passed_turn, '
            "latest_seq, created_at) SELECT 'c' || n, '', 'free', 'chat', 20, 20, 0, now() "
            "FROM generate_series(1, 1000) n"
        ),
        "INSERT INTO chat_conversation VALUES ('long', '', 'free', 'chat', 10001, 10000, 20000, now())",
        (
            "INSERT INTO chat_turn (id, conversation_id, number, client_id, text, trace_id, tier, "
            "created_at, accepted_at, deadline_at) SELECT 'long-' || n, 'long', n, '', 'hello', "
            "md5('long' || n), 'free', now(), now(), now() FROM generate_series(1, 10001) n"
        ),
        (
            "INSERT INTO chat_turn (id, conversation_id, number, client_id, text, trace_id, tier, "
            "created_at, accepted_at, deadline_at) SELECT 'c' || c || '-' || n, 'c' || c, n, '', "
            "'hello', md5(c || '-' || n), 'free', now(), now(), now() "
            "FROM generate_series(1, 1000) c, generate_series(1, 20) n"
        ),
        (
            "INSERT INTO chat_outcome (turn_id, effect, state, record_id, kind, text, reviewed, "
            "reason, source, changed_at) SELECT id, 'reply', CASE WHEN id = 'long-10001' THEN 'open' "
            "WHEN random() < 0.01 THEN 'failed' ELSE 'delivered' END, 'r', '', '', false, '', '', "
            "now() - interval '2 days' FROM chat_turn"
        ),
        (
            "INSERT INTO chat_message (conversation_id, seq, turn_id, role, text, kind, reviewed, "
            "delivered_at) SELECT conversation_id, 2 * number + r, id, CASE r WHEN 0 THEN 'user' ELSE "
            "'assistant' END, 'hello', '', false, now() FROM chat_turn, generate_series(0, 1) r"
        ),
        (
            "INSERT INTO chat_feedback (message_id, rating, reason, times_given, given_at) "
            "SELECT id, 'up', '', 1, now() FROM chat_message "
            "WHERE conversation_id = 'long' AND role = 'assistant'"
        ),
        (
            "INSERT INTO chat_judgement (turn_id, workflow, tier, source, is_flagged, judged_at) "
            "SELECT id, 'chat', CASE WHEN number = 1 THEN 'pro' ELSE 'free' END, 'output-guard', "
            "false, now() - make_interval(secs => number) FROM chat_turn"
        ),
        (
            "INSERT INTO chat_modelcall (request_id, tier, backend, model, messages, answer, "
            "finish_reason, kind, latency_ms, created_at) SELECT id, tier, 'demo', '', '[]', '', '', "
            "'reply', 1, now() - make_interval(secs => number) FROM chat_turn"
        ),
        (
            'INSERT INTO deadletters_letter (partition, "offset", at, trace_id, agent, topic, key, '
            "reason, attempts, size_bytes, redrive_of, state, decided_why) SELECT 0, n, "
            "now() - make_interval(mins => n), '', '', '', '', '', 1, 1, '', 'open', '' "
            "FROM generate_series(1, 10000) n"
        ),
    ):
        await rows(database, statement)
    with connect_as_owner() as owner:
        owner.execute(
            "ANALYZE chat_conversation, chat_turn, chat_outcome, chat_message, chat_feedback, "
            "chat_judgement, chat_modelcall, deadletters_letter"
        )
    return database


async def rows_read(database: Database, statement: str, parameters: Any) -> int:
    """Return how many rows the plan touches, those that it throws away included."""
    [[[plan]]] = await rows(
        database, f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
    )
    return _touched(plan["Plan"])


def _touched(node: dict[str, Any]) -> int:
    removed = sum(
        int(count) for name, count in node.items() if name.startswith("Rows Removed")
    )
    here = (int(node["Actual Rows"]) + removed) * int(node["Actual Loops"])
    return here + sum(_touched(inner) for inner in node.get("Plans", []))


LATELY = datetime.now(UTC) - timedelta(hours=1)
WINDOW = {"since": datetime(2020, 1, 1, tzinfo=UTC), "window": 50, "value": "pro"}
# What it is for, and how many rows it may touch at most.
QUERIES: list[tuple[str, int, str, Any]] = [
    (
        "settling: what is not yet passed",
        50,
        settle._TURNS,
        {"names": ["long"], "turns": ["long-5", "long-10001"]},
    ),
    ("a socket: what is open", 50, transcript._TURNS, [["long"]]),
    ("a socket: what it has not shown", 50, transcript._MESSAGES, [["long"], [20_001]]),
    ("the sweeper: what is overdue", 50, sweeper._OVERDUE, [120]),
    ("the sweeper: what waits", 50, sweeper._WAITING, []),
    ("the control room: what is unfinished", 50, figures._UNFINISHED, [LATELY]),
]
# Of a tier's ratings alone more is read: only their answers' conversations know it.
COUNTED = [
    ("everything", "flagged_share"),
    ("everything", "model_error_share"),
    ("everything", "negative_feedback_share"),
    ("everything", "dead_letters_per_minute"),
    ("tier", "flagged_share"),
    ("tier", "model_error_share"),
]


def of_a_rule(scope: str, metric: str) -> tuple[str, int, str, Any]:
    only = measures._ONLY.get((metric, scope), "")
    statement = measures._STATEMENTS[metric].format(only=only)
    return f"an automatic stop: its window of {metric}, {scope}", 500, statement, WINDOW


async def test_each_query_reads_only_what_it_is_for(crowded: Database) -> None:
    asked = QUERIES + [of_a_rule(*each) for each in COUNTED]

    read = {
        what: await rows_read(crowded, statement, parameters)
        for what, _, statement, parameters in asked
    }

    too_many = {what: read[what] for what, at_most, *_ in asked if read[what] > at_most}
    assert too_many == {}
    assert min(read.values()) > 0
