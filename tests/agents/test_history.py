from agents import history as history_module
from agents.agent import Said
from agents.history import DeliveredHistory
from agents.host import conninfo
from agents.postgres import Database
from controlplane.chat.models import Message, Turn
from tests.agents.stage import LoopThread
from tests.factories import make_conversation, make_turn


def delivered(loop_thread: LoopThread, conversation: str, before: str) -> list[Said]:
    async def read() -> list[Said]:
        database = Database(conninfo(), max_size=1)
        await database.open()
        try:
            return await DeliveredHistory(database).delivered(
                conversation, before=before
            )
        finally:
            await database.close()

    return loop_thread.run(read())


def answer(turn: Turn, text: str) -> None:
    turn.conversation.latest_seq += 1
    turn.conversation.save(update_fields=["latest_seq"])
    Message.objects.create(
        conversation=turn.conversation,
        seq=turn.conversation.latest_seq,
        turn=turn,
        role="assistant",
        text=text,
    )


def test_history_is_what_both_sides_have_seen_without_the_present_turn(
    transactional_db: None, loop_thread: LoopThread
) -> None:
    conversation = make_conversation()
    first = make_turn(conversation, text="What does it cost?")
    answer(first, "50,000.")
    second = make_turn(conversation, text="And in red?")
    make_turn(text="Another conversation.")

    assert delivered(loop_thread, conversation.id, second.id) == [
        Said("user", "What does it cost?"),
        Said("assistant", "50,000."),
    ]


def test_history_is_the_latest_messages_oldest_first(
    transactional_db: None, loop_thread: LoopThread
) -> None:
    conversation = make_conversation()
    for number in range(history_module.LATEST + 5):
        make_turn(conversation, text=str(number))

    said = delivered(loop_thread, conversation.id, "none")

    assert [each.text for each in said] == [
        str(n) for n in range(5, history_module.LATEST + 5)
    ]


def test_a_conversation_that_nobody_knows_has_no_history(
    transactional_db: None, loop_thread: LoopThread
) -> None:
    assert delivered(loop_thread, "unknown", "none") == []
