"""The pages of evaluations: texts are put in, refused by line, checked, read and taken away."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from controlplane.audit.models import Entry
from controlplane.evaluations.models import Evaluation
from controlplane.evaluations.running import run
from controlplane.rulebook import evaluating
from guardrails.models import Publication, Rule, RuleSet
from tests.factories import make_admin, make_user
from tests.guardrails.factories import make_terms
from tests.rulebook.making import BRANDS, publish, put_in_draft

pytestmark = pytest.mark.django_db

CSV = """text,label
I like Tesla,hit
A Tesla is engraved on it,pass
I like BMW,brands
Hello,pass
"""
LINES = '{"text": "I like Tesla", "label": 1}\n{"text": "Hello", "label": 0}\n'
PAGE = "/rules/evaluations/"


@pytest.fixture
def ada(client: Client) -> User:
    user = make_admin()
    client.force_login(user)
    return user


def post(client: Client, texts: str = CSV, **more: Any) -> HttpResponse:
    given = {
        "texts": texts,
        "file": "cases.csv",
        "rules": "draft",
        "direction": "output",
        "tier": "free",
    }
    return client.post(PAGE, given | more)  # type: ignore[return-value]


def finished(client: Client, texts: str = CSV, **more: Any) -> str:
    """Return the page of one that a worker has done."""
    answer = post(client, texts, **more)
    assert answer.status_code == 302, answer.content.decode()
    run()
    return client.get(answer["Location"]).content.decode()


@pytest.mark.usefixtures("ada")
def test_labelled_texts_become_figures_and_samples(client: Client) -> None:
    put_in_draft(BRANDS)

    page = finished(client)

    for figures in ("50.0 %", "All rules together", "1 wrongly hit, 1 missed"):
        assert figures in page
    assert '<mark title="brands: “Tesla”">Tesla</mark> is engraved on it' in page
    assert "I like BMW" in page
    job = Evaluation.objects.get()
    assert (job.state, job.file, job.total, job.texts) == ("done", "cases.csv", 4, None)


@pytest.mark.usefixtures("ada")
def test_what_is_in_force_can_be_evaluated_as_well(client: Client) -> None:
    publication = publish(BRANDS)
    put_in_draft(make_terms(terms=("nothing",)))

    finished(client, LINES, rules="in force")

    job = Evaluation.objects.get()
    assert job.ruleset_hash == publication.rule_set_id
    found = evaluating.found_in(job)
    assert found is not None
    assert (found.whole.precision, found.whole.recall) == (1.0, 1.0)


@pytest.mark.usefixtures("ada")
def test_the_report_is_for_machines_and_it_is_on_record_who_takes_it(
    client: Client,
) -> None:
    put_in_draft(BRANDS)
    finished(client)
    job = Evaluation.objects.get()

    answer = client.get(reverse("rules:evaluation-report", args=[job.pk]))

    report = json.loads(answer.content)
    assert report["set"]["precision"] == 0.5
    assert report["rules"]["brands"]["false_positive_samples"][0]["line"] == 3
    assert (report["texts"], report["files"]) == (4, ["cases.csv"])
    assert "evaluation.json" in answer["Content-Disposition"]
    assert Entry.objects.filter(action="evaluation_report_taken").count() == 1


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ("", "Put texts in here, or choose a file."),
        ("\n\n", "Its first line must name the columns text and label."),
        ("text,label\n", "There is no text in it."),
        ("text,label\nA,hit\nB,perhaps\n", "<b>Line 3:</b> The label “perhaps” is"),
        ('{"text": "A", "label": 1}\n{"text"', "<b>Line 2:</b> It is no JSON object"),
        ('text,label\n"A,hit\n', "<b>Line 2:</b> It is no CSV"),
        ("text,label\n" + "A,hit\n" * 155_000, "up to 900,000 go in here"),
    ],
    ids=["nothing", "blank", "no rows", "label", "json", "quote", "too long"],
)
def test_what_cannot_be_read_is_refused_with_its_line(
    client: Client, texts: str, says: str
) -> None:
    put_in_draft(BRANDS)

    answer = post(client, texts)

    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert not Evaluation.objects.exists()


@pytest.mark.usefixtures("ada")
def test_nothing_in_force_cannot_be_evaluated(client: Client) -> None:
    answer = post(client, rules="in force")

    assert answer.status_code == 422
    assert "Publish the draft first" in answer.content.decode()


@pytest.mark.usefixtures("ada")
def test_rules_that_this_version_cannot_read_hide_no_result(client: Client) -> None:
    put_in_draft(BRANDS)
    finished(client)
    Evaluation.objects.update(rules_body=b'{"rules":[{"field_to_come":1}]}')

    page = client.get(reverse("rules:evaluation", args=[Evaluation.objects.get().pk]))

    assert "1 wrongly hit, 1 missed" in page.content.decode()


def test_what_this_version_cannot_read_is_not_evaluated(
    client: Client, ada: User
) -> None:
    odd = RuleSet.objects.create(hash="0" * 64, body=b"[]")
    Publication.objects.create(rule_set=odd, published_by=ada, reason="odd")

    answer = post(client, rules="in force")

    assert answer.status_code == 422
    assert "cannot read it" in answer.content.decode()


@pytest.mark.usefixtures("ada")
def test_a_draft_that_cannot_be_enforced_is_refused(client: Client) -> None:
    put_in_draft(BRANDS)
    Rule.objects.update(terms=[])

    answer = post(client)

    assert answer.status_code == 422
    assert "Nothing is evaluated" in answer.content.decode()


@pytest.mark.usefixtures("ada")
def test_a_second_one_waits_for_the_end_of_the_first(client: Client) -> None:
    put_in_draft(BRANDS)
    first = post(client)

    answer = post(client)

    assert answer.status_code == 409
    page = answer.content.decode()
    assert first["Location"] in page
    assert "I like BMW" in page  # what was put in is not lost


@pytest.mark.usefixtures("ada")
def test_one_is_cancelled_and_deleted(client: Client) -> None:
    put_in_draft(BRANDS)
    place = post(client)["Location"]

    client.post(f"{place}cancel/")

    assert "cancelled" in client.get(place).content.decode()
    assert "It ended before the first text was checked" in (
        client.get(place).content.decode()
    )
    client.post(f"{place}delete/")
    assert client.get(place).status_code == 404
    assert "Nothing was evaluated yet" in client.get(PAGE).content.decode()


def test_auditors_read_and_start_nothing(client: Client, ada: User) -> None:
    put_in_draft(BRANDS)
    finished(client)
    job = Evaluation.objects.get()
    client.force_login(make_user("ines", "auditor"))

    page = client.get(reverse("rules:evaluation", args=[job.pk])).content.decode()

    assert "is engraved on it" in page
    assert "Delete…" not in page
    assert "Start the evaluation" not in client.get(PAGE).content.decode()


@pytest.mark.usefixtures("ada")
def test_texts_with_line_breaks_and_strange_characters_are_shown(
    client: Client,
) -> None:
    put_in_draft(BRANDS)
    texts = '{"text": "A\\u0000 Tesla\\n<b>here</b>", "label": "pass"}'

    page = finished(client, texts)

    assert "&lt;b&gt;here&lt;/b&gt;" in page
    assert "\0" not in page


@pytest.mark.usefixtures("ada")
def test_a_long_list_costs_as_much_as_a_short_one(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    put_in_draft(BRANDS)
    finished(client)
    client.get(PAGE)
    with django_assert_num_queries(11):
        client.get(PAGE)
    for _ in range(3):
        finished(client)
    with django_assert_num_queries(11):
        client.get(PAGE)
