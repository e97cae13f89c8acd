"""The draft is looked at as a diff, published if its cases let it, and what was published comes back."""

import pytest
from django.test import Client
from django.urls import reverse

from controlplane.audit.models import Entry
from guardrails.models import Publication, Rule, RuleSet
from tests.factories import make_admin, make_user, sign_in_now
from tests.guardrails.factories import make_pattern, make_terms, make_threshold
from tests.home.making import make_heartbeat
from tests.rulebook.making import BRANDS, publish, put_in_draft
from tests.rulebook.test_list import text

pytestmark = pytest.mark.django_db

REVIEW, HISTORY = reverse("rules:review"), reverse("rules:history")


def page_of(publication: Publication) -> str:
    return reverse("rules:publication", args=[publication.pk])


@pytest.fixture
def ada(client: Client) -> Client:
    sign_in_now(client, make_admin())
    return client


def look(ada: Client, page: str = REVIEW, *, reason: str) -> dict[str, str]:
    """Return the form as a person sends it who looks at the page now."""
    form = ada.get(page).context["form"]
    given = {field.name: str(field.value()) for field in form.hidden_fields()}
    return given | {"reason": reason}


def test_the_draft_is_shown_as_what_it_changes(ada: Client) -> None:
    publish(BRANDS, make_threshold(must_hit=("10 % off",)))
    Rule.objects.filter(slug="discounts").delete()
    put_in_draft(
        make_terms(
            terms=("tesla", "bmw"), reply="Let us talk of ours.", must_hit=("bmw",)
        ),
        make_pattern(r"\d+", must_hit=("5",)),
    )

    html = ada.get(REVIEW).content.decode()
    said = text(ada.get(REVIEW))

    assert [change.change for change in ada.get(REVIEW).context["changes"]] == [
        "new",
        "changed",
        "removed",
    ]
    assert "<li><ins>bmw</ins></li>" in html
    assert "<del>about</del><ins>of</ins>" in html
    assert "<li><del>I like Tesla</del></li>" in html
    assert r"Pattern \d+" in said
    assert "Discounts removed" in said


def test_a_draft_with_a_reason_is_published_and_its_workers_are_watched(
    ada: Client,
) -> None:
    old = publish(BRANDS)
    put_in_draft(make_terms(reply="Ours.", must_hit=("tesla",)))
    make_heartbeat(ruleset_hash=old.rule_set_id)

    answer = ada.post(REVIEW, look(ada, reason="shorter"))

    assert answer.status_code == 302
    page = ada.get(answer["Location"])
    assert "obeyed by 0 of 1 worker" in text(page)
    assert 'data-every-s="1"' in page.content.decode()
    assert "<ins>Ours</ins>" in page.content.decode()
    entry = Entry.objects.filter(action="rules_published").latest("pk")
    assert (entry.actor, Publication.objects.count()) == ("ada", 2)
    assert "The draft is as published" in text(ada.get(REVIEW))


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        ((make_terms(must_hit=("BMW",)),), "“BMW” must hit, but alone"),
        (
            (
                make_terms(must_hit=("tesla",), must_pass=("the 5 series",)),
                make_pattern(r"\d+", must_hit=("5",)),
            ),
            "“the 5 series” must pass, but together it came out as replace: digits",
        ),
        ((make_terms(),), "Brands has no case that was evaluated"),
    ],
    ids=["alone", "together", "none"],
)
def test_a_draft_whose_cases_fail_says_which(
    ada: Client, others: tuple[object, ...], sentence: str
) -> None:
    put_in_draft(*others)  # type: ignore[arg-type]

    answer = ada.post(REVIEW, look(ada, reason="try"))

    assert answer.status_code == 422
    assert "Nothing is published" in text(answer)
    assert sentence in text(answer)
    assert "try</textarea>" in answer.content.decode()
    assert not Publication.objects.exists()


def test_a_reason_is_asked_for(ada: Client) -> None:
    put_in_draft(BRANDS)

    answer = ada.post(REVIEW, look(ada, reason=" "))

    assert answer.status_code == 422
    assert "Say why" in text(answer)


def test_a_draft_that_moved_since_the_look_is_shown_again(ada: Client) -> None:
    put_in_draft(BRANDS)
    looked_at = look(ada, reason="my reason")
    put_in_draft(make_terms(reply="Hm.", must_hit=("tesla",)))

    answer = ada.post(REVIEW, looked_at)

    assert answer.status_code == 409
    assert "somebody has changed the draft" in text(answer)
    assert "my reason</textarea>" in answer.content.decode()
    form = answer.context["form"]
    again = {field.name: str(field.value()) for field in form}
    assert ada.post(REVIEW, again).status_code == 302


def test_what_was_rolled_back_meanwhile_is_not_undone_unseen(ada: Client) -> None:
    first = publish(BRANDS)
    second = publish(make_terms(reply="Worse.", must_hit=("tesla",)))
    put_in_draft(make_terms(reply="Worse, too.", must_hit=("tesla",)))
    looked_at = look(ada, reason="my reason")
    back = ada.post(page_of(first), look(ada, page_of(first), reason="incident"))

    answer = ada.post(REVIEW, looked_at)

    assert back.status_code == 302
    assert answer.status_code == 409
    assert "or what is in force, since you looked" in text(answer)
    latest = Publication.objects.latest_first()[0]
    assert latest.rule_set_id == first.rule_set_id != second.rule_set_id
    assert ada.post(REVIEW, look(ada, reason="mended")).status_code == 302


def test_a_draft_that_cannot_be_read_says_so(ada: Client) -> None:
    Rule.objects.create(
        slug="odd", name="Odd", kind="dance", direction="output", action="tag"
    )

    assert "Odd: Invalid enum value 'dance'" in text(ada.get(REVIEW))


def test_an_earlier_set_is_put_in_force_again_with_a_reason(ada: Client) -> None:
    first = publish(BRANDS, reason="the first")
    second = publish(make_terms(reply="Worse.", must_hit=("tesla",)), reason="worse")

    page = ada.get(page_of(first))
    assert "not in force any more" in text(page)
    assert "Back to it: what that would change now" in text(page)
    shown = look(ada, page_of(first), reason="it was better")
    answer = ada.post(page_of(first), shown)

    latest = Publication.objects.latest_first()[0]
    assert answer["Location"] == page_of(latest)
    assert latest.rule_set_id == first.rule_set_id
    listed = text(ada.get(HISTORY))
    assert "in force back to an earlier set" in listed
    assert listed.index("it was better") < listed.index("worse")
    assert Rule.objects.get().reply == "Worse."
    assert ada.post(page_of(second), shown | {"reason": ""}).status_code == 422
    stale = ada.post(page_of(second), shown)
    assert stale.status_code == 409
    assert "somebody has published since you looked" in text(stale)


def test_a_set_that_cannot_be_read_says_so(ada: Client) -> None:
    editor = put_in_draft(BRANDS)
    odd = RuleSet.objects.create(hash="0" * 64, body=b"[]")
    old = Publication.objects.create(rule_set=odd, published_by=editor, reason="odd")
    publish(BRANDS)

    assert "cannot be read by this version" in text(ada.get(page_of(old)))


def test_the_history_is_empty_at_first_and_has_pages(ada: Client) -> None:
    assert "Nothing was published yet" in text(ada.get(HISTORY))
    made = publish(BRANDS)
    for _ in range(50):
        Publication.objects.create(
            rule_set=made.rule_set, published_by=made.published_by, reason="again"
        )

    assert "page 2 of 2" in text(ada.get(f"{HISTORY}?page=2"))
    assert "new rules" in text(ada.get(f"{HISTORY}?page=2"))


def test_publishing_and_rolling_back_ask_again_who_it_is(client: Client) -> None:
    client.force_login(make_admin())
    first = publish(BRANDS)
    publish(make_terms(must_hit=("tesla", "Tesla!")))

    for page in (REVIEW, page_of(first)):
        answer = client.post(page, {"draft": "x", "in_force": "1", "reason": "y"})
        assert answer["Location"].startswith(reverse("account_reauthenticate"))
    assert Publication.objects.count() == 2


@pytest.mark.parametrize("role", ["lead", "auditor"])
def test_who_may_only_look_publishes_nothing(client: Client, role: str) -> None:
    made = publish(BRANDS)
    put_in_draft(make_terms(reply="Hm.", must_hit=("tesla",)))
    sign_in_now(client, make_user("otto", role))

    assert "Publish these rules" not in text(client.get(REVIEW))
    for page in (REVIEW, page_of(made)):
        assert (
            client.post(
                page, {"draft": "x", "in_force": "1", "reason": "y"}
            ).status_code
            == 403
        )
    assert Publication.objects.count() == 1
