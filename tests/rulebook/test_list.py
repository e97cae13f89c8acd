"""The list of rules: what there is, what is in force, what it held, and who obeys it."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from controlplane.rulebook import hits
from controlplane.rulebook.hits import Hits
from guardrails.models import Publication, Rule, RuleSet
from moderation.models import Approval
from tests.factories import make_admin, make_user
from tests.guardrails.factories import make_pattern, make_terms, make_threshold
from tests.home.making import make_heartbeat
from tests.rulebook.making import BRANDS, make_held, publish, put_in_draft
from tests.traces_pages.making import make_record

pytestmark = pytest.mark.django_db

DAY = timedelta(hours=24, minutes=1)
LIST = reverse("rules:list")
PUBLISHED = reverse("rules:published")


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(make_admin())
    return client


def text(answer: Any) -> str:
    """What a person reads."""
    html = re.sub(r"<[^>]*>", " ", answer.content.decode())
    return re.sub(r"\s+", " ", unescape(html))


def test_without_rules_it_says_what_that_means(ada: Client) -> None:
    said = text(ada.get(LIST))

    assert "No rule-set is published Agents start nothing until one is." in said
    assert "There are no rules" in said


def test_a_rule_is_listed_with_what_it_does_and_how_it_differs_from_what_is_in_force(
    ada: Client,
) -> None:
    publish(BRANDS, make_threshold(must_hit=("10 % off",)))
    put_in_draft(
        make_threshold(limit=7, tiers=("pro",), must_hit=("10 % off",)),
        make_pattern(r"\d+", mode="canary", percent=10, action="tag"),
    )

    said = text(ada.get(LIST))

    assert "the draft has 2 changes that no agent obeys yet" in said
    assert "Brands brands · v1 enforce output terms replace chat, all tiers" in said
    assert "Discounts changed discounts · v" in said
    assert "escalate to discount chat, pro" in said
    assert "Digits new digits · v1 canary 10 % output pattern tag" in said


def test_a_rule_that_is_gone_from_the_draft_is_a_change(ada: Client) -> None:
    publish(BRANDS)
    assert "the draft is as published" in text(ada.get(LIST))
    Rule.objects.all().delete()

    assert "the draft has 1 change that" in text(ada.get(LIST))


def test_what_is_in_force_is_said_with_who_and_why(ada: Client) -> None:
    publication = publish(BRANDS, reason="legal asked for it")

    said = text(ada.get(LIST))

    assert publication.rule_set_id[:12] in said
    assert "published by editor" in said
    assert "legal asked for it" in said
    assert "no worker is alive" in said


def test_workers_are_named_with_what_they_obey_and_since_when(ada: Client) -> None:
    made = publish(BRANDS)
    now: dict[str, Any] = {"ruleset_hash": made.rule_set_id, "publication": made.pk}
    quick = make_heartbeat(**now, ruled_in_ms=41.4)
    slow = make_heartbeat(**now, ruled_in_ms=1_640.2)
    late = make_heartbeat(**now)
    said = text(ada.get(PUBLISHED))
    assert "obeyed by 3 of 3 workers after 1,640 ms" in said
    assert f"obeys {quick.instance} after 41 ms" in said
    assert f"obeys {slow.instance} after 1,640 ms" in said
    assert f"obeys {late.instance} since it started" in said
    behind = make_heartbeat(ruleset_hash="a" * 64, ruled_in_ms=7)
    empty = make_heartbeat()
    frozen = make_heartbeat(ruleset_hash=made.rule_set_id, age_s=70)
    make_heartbeat(age_s=3_600)

    said = text(ada.get(PUBLISHED))

    assert "obeyed by 3 of 5 workers 1 silent" in said
    assert f"behind {behind.instance} still judges by aaaaaaaaaaaa , for 3 s" in said
    assert f"behind {empty.instance} has no rule-set yet" in said
    assert f"silent {frozen.instance} not heard of for 1 m 10 s" in said
    assert said.count("host-a:") == 6
    assert said.index(frozen.instance) < said.index(quick.instance)


def test_whoever_is_late_judges_nothing(ada: Client) -> None:
    made = publish(BRANDS)
    Publication.objects.create(
        rule_set=made.rule_set,
        published_by=made.published_by,
        published_at=timezone.now() - timedelta(seconds=4),
        reason="once more",
    )
    make_heartbeat(ruleset_hash="a" * 64)
    of_before = make_heartbeat(
        ruleset_hash=made.rule_set_id, publication=made.pk, ruled_in_ms=7
    )

    said = text(ada.get(PUBLISHED))

    assert "has only aaaaaaaaaaaa , so it judges nothing" in said
    assert f"{of_before.instance} since it started, or since before" in said


def test_of_many_workers_the_first_are_named(ada: Client) -> None:
    made = publish(BRANDS)
    for _ in range(22):
        make_heartbeat(ruleset_hash=made.rule_set_id)

    assert "and 2 more" in text(ada.get(PUBLISHED))


def test_what_a_rule_held_and_how_often_that_was_right(ada: Client) -> None:
    put_in_draft(make_threshold())
    make_held("discounts")
    make_held("discounts", "another", verdict="reject")
    make_held("discounts", verdict="approve")
    make_held("discounts", verdict="edit")
    Approval.objects.filter(decision__verdict="edit").update(
        created_at=timezone.now() - timedelta(days=2)
    )

    assert "3 67 % of 3" in text(ada.get(LIST))


def test_what_rules_hit_that_hold_nothing_is_counted_by_turn(ada: Client) -> None:
    put_in_draft(BRANDS, make_threshold())
    lately: dict[str, Any] = {"at": timezone.now() - timedelta(hours=2)}
    for topic in ("agent.responses.flagged", "agent.responses.final"):
        make_record("a" * 32, topic, rules=["brands"], watched=["discounts"], **lately)
    make_record("b" * 32, "user.messages.cleaned", watched=["discounts"], **lately)
    make_record(
        "c" * 32, "user.messages.cleaned", rules=["brands"], at=timezone.now() - DAY
    )

    rows = {row.rule.slug: row for row in ada.get(LIST).context["rows"]}

    assert rows["brands"].hits == Hits(acting=1, watched=0)
    assert rows["discounts"].hits == Hits(acting=0, watched=2)
    assert "0 + 2 watched" in text(ada.get(LIST))


def test_the_counts_are_asked_for_again_with_the_filter_and_the_page(
    ada: Client,
) -> None:
    put_in_draft(*(make_terms(id=f"rule-{n:03}", name=f"R{n:03}") for n in range(101)))
    lately = timezone.now() - timedelta(hours=2)
    make_record("a" * 32, "user.messages.cleaned", rules=["rule-100"], at=lately)
    live = re.search(
        r'id="rules"[^>]*hx-get="([^"]*)"',
        ada.get(f"{LIST}?mode=enforce&page=2").content.decode(),
    )

    assert live is not None
    part = ada.get(unescape(live[1]), headers={"HX-Request-Type": "partial"})

    assert part.content.strip().startswith(b'<div class="stack" id="rules" data-live')
    assert [row.rule.slug for row in part.context["rows"]] == ["rule-100"]
    assert part.context["rows"][0].hits.acting == 1
    odd = ada.get(f"{LIST}?mode=loud").content.split(b'id="rules"')[1]
    assert b"hx-get" not in odd.split(b">")[0]


def test_what_rules_cost_is_added_up_over_workers(ada: Client) -> None:
    now = publish(BRANDS).rule_set_id
    assert "not measured" in text(ada.get(LIST))
    make_heartbeat(ruleset_hash=now, rule_costs={"brands": {"40": 98}})
    make_heartbeat(ruleset_hash=now, rule_costs={"brands": {"40": 1, "66": 9}})
    make_heartbeat(ruleset_hash="a" * 64, rule_costs={"brands": {"80": 900}})

    [row] = ada.get(LIST).context["rows"]

    assert row.cost.texts == 108
    assert "1/101 µs" in text(ada.get(LIST))


def test_the_hits_of_a_day_are_read_by_their_index() -> None:
    """Of all that is recorded only what has a hit is looked at."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {hits._HITS}", [hits.COUNTED])
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "Seq Scan on traces_record" not in plan
    assert re.search(r"traces_record_\d{4}_\d\d_at_idx", plan)


def test_a_finding_that_did_not_hold_the_answer_does_not_count(ada: Client) -> None:
    put_in_draft(BRANDS)
    approval = make_held("brands")
    approval.verdict["findings"][0]["action"] = "tag"
    approval.save()

    assert "0 nothing decided" in text(ada.get(LIST))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("words=BRAND", ["brands"]),
        ("words=digits", ["digits"]),
        ("mode=shadow", ["digits"]),
        ("kind=threshold", ["discounts"]),
        ("action=escalate", ["discounts"]),
        ("direction=output&mode=enforce", ["brands", "discounts"]),
        ("direction=input", []),
        ("mode=loud", []),
    ],
)
def test_the_list_is_narrowed(ada: Client, query: str, found: list[str]) -> None:
    put_in_draft(BRANDS, make_threshold(), make_pattern(r"\d+", mode="shadow"))

    answer = ada.get(f"{LIST}?{query}")

    assert [row.rule.slug for row in answer.context["rows"]] == found
    assert answer.status_code == (422 if "loud" in query else 200)
    assert found or "No rule matches" in text(answer) or "cannot be" in text(answer)


def test_a_published_set_that_cannot_be_read_is_said(ada: Client) -> None:
    odd = RuleSet.objects.create(hash="0" * 64, body=b"[]")
    editor = put_in_draft(BRANDS)
    Publication.objects.create(rule_set=odd, published_by=editor, reason="odd")

    assert "cannot be read by this version" in text(ada.get(LIST))


def test_many_rules_have_pages_and_no_more_queries(
    ada: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    put_in_draft(*(make_terms(id=f"rule-{n:03}", name=f"R{n:03}") for n in range(101)))
    make_heartbeat()
    ada.get(LIST)

    with django_assert_num_queries(18):
        second = ada.get(f"{LIST}?page=2&mode=enforce")

    assert [row.rule.slug for row in second.context["rows"]] == ["rule-100"]
    assert "page 2 of 2" in text(second)


@pytest.mark.parametrize(
    ("role", "status"),
    [("viewer", 403), ("moderator", 403), ("lead", 200), ("auditor", 200)],
)
def test_who_may_look(client: Client, role: str, status: int) -> None:
    client.force_login(make_user("somebody", role))

    assert client.get(LIST).status_code == status
