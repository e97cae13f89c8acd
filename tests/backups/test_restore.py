"""A backup is restored after people have talked on: nothing is sent twice, nothing is lost."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from tests.backups.story import (
    RISKY,
    Person,
    count,
    decide,
    end,
    of_audit,
    settled,
)
from tests.e2e.product import Process, Product
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(240)  # on a machine that does a lot besides

HOURS = "When are you open on Saturday?"
OFFER = "What is your best offer? story-of-a-backup"


@dataclass
class Story:
    product: Product
    file: Path
    people: dict[str, Person] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)  # client ids
    before: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    after: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    refused: str = ""
    said: str = ""


@pytest.fixture(scope="module")
def story(
    own_product: Product, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """Restored, with its site and its worker on again."""
    told = Story(own_product, tmp_path_factory.mktemp("backup") / "monday.dump")
    own_product.script(match="story-of-a-backup", reply=RISKY)
    web, worker = own_product.start_web(), own_product.start_worker()
    names = ("anna", "bert", "cora", "dora", "emil", "fred", "away")
    told.people = {name: Person(own_product) for name in names}
    _before_the_backup(told)
    _back_up_before_the_relay_publishes(told, worker)
    _after_the_backup(told)
    settled(own_product, told.people.values())
    told.before = {name: each.all_lines() for name, each in told.people.items()}
    for name, person in told.people.items():
        if name != "away":
            person.go()
    done = own_product.run("manage.py", "restore", str(told.file), "--replace")
    assert done.returncode == 1, done.stdout
    told.refused = done.stderr
    end(worker, web)
    told.said = own_product.manage("restore", str(told.file), "--replace")
    own_product.start_web()
    own_product.start_worker()
    wait_for(lambda: len(_decisions_in_kafka(told, "fred")) == 2, timeout_s=20)
    settled(own_product, told.people.values())
    told.after = {name: each.all_lines() for name, each in told.people.items()}
    yield told
    own_product.forget_scripts()


def _back_up_before_the_relay_publishes(told: Story, worker: Process) -> None:
    """fred's decision is in the outbox while the backup is made, and in Kafka soon after."""
    worker.signal(SIGSTOP)
    try:
        decide(told.product, told.asked["fred"])
        told.product.manage("backup", str(told.file))
    finally:
        worker.signal(SIGCONT)


def _before_the_backup(told: Story) -> None:
    """anna was answered; bert and fred wait for a person."""
    anna, bert, fred = (told.people[name] for name in ("anna", "bert", "fred"))
    told.asked["bert"], held = bert.ask(OFFER)
    told.asked["fred"], also_held = fred.ask(OFFER)
    first, _ = anna.ask(HOURS)
    anna.hears(first)
    bert.waits(held)
    fred.waits(also_held)


def _after_the_backup(told: Story) -> None:
    """Those who are new are cora (answered), dora (decided), emil (held) and away (gone early)."""
    product, people = told.product, told.people
    people["fred"].hears(told.asked["fred"])
    _after_their_page_closed(told)
    for name in ("dora", "emil"):
        told.asked[name], held = people[name].ask(OFFER)
        people[name].waits(held)
    for name in ("anna", "cora"):
        told.asked[name], _ = people[name].ask(HOURS)
        people[name].hears(told.asked[name])
    decide(product, told.asked["bert"])
    decide(product, told.asked["dora"], verdict="edit", text="Let us talk about it.")
    people["bert"].hears(told.asked["bert"])
    people["dora"].hears(told.asked["dora"])


def _after_their_page_closed(told: Story) -> None:
    """Their question is shown to them, the answer comes when they have gone."""
    away = told.people["away"]
    page = away.come()
    page.ask(HOURS)
    page.until(lambda frame: frame.get("role") == "user")
    page.frames = [f for f in page.frames if f.get("role") != "assistant"]
    away.go()


def _decisions_in_kafka(told: Story, name: str) -> list[str]:
    [(trace,)] = told.product.sql(
        "SELECT trace_id FROM chat_turn WHERE client_id = %s", told.asked[name]
    )
    topics = told.product.topics_of(trace)
    return [topic for topic in topics if topic == "agent.responses.approved"]


def test_a_database_in_use_is_left_alone(story: Story) -> None:
    assert "Workers are live" in story.refused


def test_every_page_shows_again_what_it_showed_under_the_same_numbers(
    story: Story,
) -> None:
    after = story.after

    assert after == story.before
    assert [role for _, role, _ in after["anna"]] == ["user", "assistant"] * 2
    assert after["dora"][-1][2] == "Let us talk about it."
    assert [role for _, role, _ in after["emil"]] == ["user"]


def test_a_page_that_connects_again_is_told_nothing_twice_and_nothing_less(
    story: Story,
) -> None:
    for name in ("anna", "bert", "cora", "dora", "fred"):
        person = story.people[name]
        seen = list(person.lines)
        asked, _ = person.ask(HOURS)
        person.hears(asked)
        person.go()

        new = person.lines[len(seen) :]
        assert [line["role"] for line in new] == ["user", "assistant"], name
        assert min(n["seq"] for n in new) > max(s["seq"] for s in seen)
    away = story.people["away"]
    page = away.come()
    page.until(lambda frame: frame.get("role") == "assistant")
    away.go()
    assert [line["role"] for line in away.lines] == ["user", "assistant"]


def test_every_turn_has_one_outcome_and_what_is_held_waits_once(story: Story) -> None:
    product, emil = story.product, story.people["emil"]
    states = product.sql(
        "SELECT t.client_id, count(o.id), min(o.state) FROM chat_turn t"
        " LEFT JOIN chat_outcome o ON o.turn_id = t.id WHERE t.client_id = ANY(%s)"
        " GROUP BY t.client_id",
        list(story.asked.values()),
    )
    assert {row[1] for row in states} == {1}
    held = {row[0] for row in states if row[2] != "delivered"}
    assert held == {story.asked["emil"]}

    decide(product, story.asked["emil"])
    page = emil.come()
    page.answer(story.asked["emil"])
    settled(product, [emil])
    emil.go()
    assert [line["role"] for line in emil.lines] == ["user", "assistant"]
    wait_for(
        lambda: (
            not count(
                product,
                "SELECT count(*) FROM moderation_approval a JOIN chat_turn t ON t.id = a.turn_id"
                " WHERE a.state = 'pending' AND t.client_id = %s",
                story.asked["emil"],
            )
        )
    )


def test_what_the_outbox_sent_once_more_is_delivered_once(story: Story) -> None:
    assert len(_decisions_in_kafka(story, "fred")) == 2
    assert [role for _, role, _ in story.after["fred"]] == ["user", "assistant"]
    assert not count(
        story.product,
        "SELECT count(*) FROM audit_entry a JOIN chat_turn t ON t.trace_id = a.trace_id"
        " WHERE a.action = 'record_refused' AND t.client_id = %s",
        story.asked["fred"],
    )


def test_decisions_of_after_the_backup_are_those_people_s(story: Story) -> None:
    decisions = story.product.sql(
        "SELECT t.client_id, d.verdict, u.username FROM moderation_decision d"
        " JOIN moderation_approval a ON a.id = d.approval_id"
        " JOIN chat_turn t ON t.id = a.turn_id JOIN auth_user u ON u.id = d.decided_by_id"
        " WHERE t.client_id = ANY(%s)",
        [story.asked[name] for name in ("bert", "dora", "fred")],
    )

    assert sorted(decisions) == sorted(
        [
            (story.asked["bert"], "approve", "mira"),
            (story.asked["dora"], "edit", "mira"),
            (story.asked["fred"], "approve", "mira"),
        ]
    )
    taken_over = of_audit(story.product, "decision_taken_over")
    assert sorted(str(each["verdict"]) for each in taken_over) == ["approve", "edit"]


def test_the_application_s_role_has_its_rights_and_no_more(story: Story) -> None:
    role = "SELECT has_table_privilege('interlock', %s, %s)"
    assert story.product.sql(role, "chat_turn", "UPDATE") == [(True,)]
    assert story.product.sql(role, "audit_entry", "INSERT") == [(True,)]
    assert story.product.sql(role, "audit_entry", "UPDATE") == [(False,)]
    owners = story.product.sql(
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    )
    assert owners == [("interlock_owner",)]


def test_the_log_says_that_it_was_restored_and_from_what(story: Story) -> None:
    [entry] = of_audit(story.product, "database_restored")

    assert "2 decisions, 0 corrections and 0 changes of stops taken over" in story.said
    assert "monday.dump" in str(entry["reason"])
    assert entry["kafka"] == "whole"
    version = count(story.product, "SELECT version FROM runtime_controlversion")
    assert entry["version"] == str(version)
