import pytest

from controlplane.embedded.model_server import journal
from controlplane.embedded.model_server.journal import Entry, Journal


def note(notes: Journal, question: str, body: bytes = b"{}") -> Entry:
    return notes.open("POST", "/v1/chat/completions", {"cookie": "x"}, body, question)


@pytest.mark.parametrize("bound", ["MAX_ENTRIES", "MAX_BYTES"])
def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(journal, bound, 2)
    notes = Journal()

    for number in range(4):
        note(notes, str(number), b"1")

    assert [each.question for each in notes.find()] == ["2", "3"]


@pytest.mark.parametrize(
    "body", [b"\xff", b"[" * 100_000], ids=["not text", "too deep"]
)
def test_a_body_that_is_not_json_is_kept_as_text(body: bytes) -> None:
    assert isinstance(note(Journal(), "", body).as_json()["body"], str)


def test_what_runs_and_what_is_finished_can_be_told_apart() -> None:
    notes = Journal()
    note(notes, "running")
    notes.finish(note(notes, "done"))

    assert len(notes.find()) == 2
    assert [each.question for each in notes.find(finished=True)] == ["done"]
