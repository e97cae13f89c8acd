"""Deciding on many letters from the list, and the page of the job that does it."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from controlplane.deadletters import actions
from controlplane.deadletters.models import Job, JobItem
from tests.deadletters.making import headers_for, make_letter
from tests.deadletters.pages import LIST, text

pytestmark = pytest.mark.django_db


def test_the_chosen_letters_become_a_job(client: Client, ada: User) -> None:
    first, second, third = (make_letter() for _ in range(3))
    data = {"verb": "redrive", "letters": [first.pk, third.pk], "up_to": third.pk}

    response = client.post(LIST, data)

    job = Job.objects.get()
    assert response["Location"] == f"/dlq/jobs/{job.pk}/"
    assert [item.letter_id for item in job.items.order_by("pk")] == [first.pk, third.pk]
    assert "Redriving 2 letters at work" in text(client, response["Location"])
    assert "at work ada is redriving letters since" in text(client)
    assert second.is_open


def test_all_that_match_are_those_that_were_there(client: Client, ada: User) -> None:
    make_letter(agent="guard")
    seen = make_letter()
    actions.discard(make_letter().pk, by=ada, reason="x")
    context = client.get(f"{LIST}?agent=responder&state=all").context
    make_letter()  # comes after the page was made

    client.post(
        f"{LIST}?agent=responder&state=all",
        {
            "verb": "discard",
            "reason": "noise",
            "scope": "matching",
            "up_to": context["up_to"],
        },
    )

    assert [item.letter_id for item in JobItem.objects.all()] == [seen.pk]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "Choose letters first"),
        ({"letters": ["x", "1" * 30, "-1"]}, "is not one of the available choices"),
        ({"letters": ["99"]}, "None of these letters is there any more."),
        ({"scope": "matching", "query": "?agent=nobody"}, "None of these letters"),
        ({"scope": "matching", "query": "?since=x"}, "None of these letters"),
        ({"letters": ["1"], "verb": "discard"}, "Say why it can be discarded."),
    ],
)
def test_what_cannot_be_started_is_said_and_nothing_is_lost(
    client: Client, ada: User, fields: dict[str, str], says: str
) -> None:
    make_letter(pk=1)
    query = fields.get("query", "")
    data = {"verb": "redrive", "scope": "chosen", "up_to": "9", "reason": ""} | fields

    response = client.post(f"{LIST}{query}", data)

    assert response.status_code == 422
    assert says in response.content.decode() or query
    assert not Job.objects.exists()


def test_the_letters_that_were_chosen_stay_so_after_an_error(
    client: Client, ada: User
) -> None:
    letter = make_letter()
    make_letter()
    data = {"verb": "discard", "letters": [letter.pk], "up_to": 9}

    html = client.post(LIST, data).content.decode()

    assert html.count(" checked") == 2  # the letter, and "the chosen"
    assert f'value="{letter.pk}" aria-label="Letter 3@100" checked' in html


def test_a_job_says_what_became_of_its_letters(client: Client, ada: User) -> None:
    job = Job.objects.create(verb="redrive", started_by=ada, reason="mended")
    results = ["done", "done", "already", "refused", "refused", ""]
    for result in results:
        note = "Its bytes are gone." if result == "refused" else ""
        JobItem.objects.create(
            job=job, letter=make_letter(headers=headers_for()), result=result, note=note
        )

    shown = text(client, f"/dlq/jobs/{job.pk}/")

    assert "5 of 6 gone through" in shown
    assert "2 redriven 1 already decided 2 refused" in shown
    assert "2: Its bytes are gone. 3@103 , 3@104" in shown
    client.post(f"/dlq/jobs/{job.pk}/cancel/")
    shown = text(client, f"/dlq/jobs/{job.pk}/")
    assert "cancelled" in shown
    assert "1 left alone" in shown
    assert "Cancel the rest" not in shown
