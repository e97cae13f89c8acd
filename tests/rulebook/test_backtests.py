"""The pages of backtests: one is started from the draft or an editor, watched, read, cancelled, run again."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from controlplane.audit.models import Entry
from controlplane.backtests import actions
from controlplane.backtests.models import Backtest
from controlplane.backtests.tasks import run
from controlplane.rulebook import backtesting
from guardrails.models import Rule
from tests.backtests.making import answer, held, lose_sample, write, write_answers
from tests.factories import make_admin, make_user
from tests.guardrails.factories import make_set, make_terms
from tests.rulebook.making import BRANDS, publish, put_in_draft
from tests.rulebook.test_list import text

pytestmark = pytest.mark.django_db

LIST, REVIEW = reverse("rules:backtests"), reverse("rules:review")
WIDER = make_terms(terms=("tesla", "bmw"), must_hit=("I like Tesla",))
HOLDING = make_terms(
    id="legal",
    name="Legal",
    terms=("sue",),
    action="escalate",
    team="legal",
    reply="",
    must_hit=("I sue you",),
)
HTMX = {"HX-Request-Type": "partial"}


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(make_admin())
    return client


def page_of(job: Backtest, name: str = "backtest") -> str:
    return reverse(f"rules:{name}", args=[job.pk])


def start(ada: Client, **given: str) -> Backtest:
    answer = ada.post(LIST, {"size": "1000"} | given)
    assert answer.status_code == 302, text(answer)
    job = Backtest.objects.latest("requested_at")
    assert answer["Location"] == page_of(job)
    return job


def test_without_backtests_it_says_what_one_is_for(ada: Client) -> None:
    said = text(ada.get(LIST))

    assert "No draft was tested yet" in said
    assert "Backtest the draft" in said


def test_the_draft_is_tested_and_its_result_is_told(ada: Client) -> None:
    publish(BRANDS)
    put_in_draft(WIDER, HOLDING)
    write_answers(["A Tesla", "A BMW", "Sue me", "Hello"] * 10)
    job = start(ada)
    waiting = text(ada.get(page_of(job)))

    run()

    said = text(ada.get(page_of(job)))
    assert "0 of 40 gone through" in waiting
    assert "40 of 40 gone through" in said
    assert "+10 newly held" in said
    assert "20 of 40 end otherwise" in said
    assert "+15.4 an hour for legal" in said
    assert "10 allow → replace" in said
    assert "Brands output · free · chat 10 0 0 10 20 0" in said
    assert "output · free · chat 40 20 10 0 0 10" in said
    assert "of the draft as it is" in text(ada.get(LIST))


def test_a_number_of_its_own_comes_before_what_is_chosen(ada: Client) -> None:
    put_in_draft(WIDER)
    write_answers(["A Tesla"] * 5)

    assert start(ada, other="3").total == 3


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"size": "7"}, "not one of the available choices"),
        ({"size": "1000", "other": "0"}, "greater than or equal to 1"),
        ({"size": "1000", "other": "100001"}, "less than or equal to 100000"),
        ({}, "required"),
    ],
)
def test_a_number_that_is_none_is_told(
    ada: Client, given: dict[str, str], says: str
) -> None:
    answer = ada.post(LIST, given)

    assert answer.status_code == 422
    assert says in text(answer)


def test_without_recorded_messages_it_says_what_to_do(ada: Client) -> None:
    put_in_draft(WIDER)

    answer = ada.post(LIST, {"size": "1000"})

    assert answer.status_code == 422
    assert "No message is recorded yet" in text(answer)


def test_records_without_a_text_that_was_judged_are_told(ada: Client) -> None:
    put_in_draft(WIDER)
    write(answer("instead of an answer", kind="fallback"))
    job = start(ada)

    run()

    said = text(ada.get(page_of(job)))
    assert "1 of 1 gone through" in said
    assert "There was no text to judge" in said


def test_a_draft_of_which_nothing_can_be_enforced_is_not_tested(ada: Client) -> None:
    put_in_draft(make_terms(terms=()))
    write_answers(["A Tesla"])

    answer = ada.post(LIST, {"size": "1000"})

    assert answer.status_code == 422
    assert "at least one term" in text(answer)


def test_a_second_one_is_refused_with_the_way_to_the_first(ada: Client) -> None:
    put_in_draft(WIDER)
    write_answers(["A Tesla"])
    job = start(ada)

    answer = ada.post(LIST, {"size": "1000"})

    assert answer.status_code == 409
    assert page_of(job) in answer.content.decode()


def test_only_one_that_is_not_finished_is_asked_for_again(ada: Client) -> None:
    put_in_draft(WIDER)
    write_answers(["A Tesla"])
    job = start(ada)
    poll = f'hx-get="{page_of(job)}"'
    before = ada.get(page_of(job)), ada.get(LIST, headers=HTMX)

    run()

    part = ada.get(page_of(job), headers=HTMX)
    assert poll in before[0].content.decode()
    assert 'data-every-s="3"' in before[1].content.decode()
    assert part.content.strip().startswith(b'<div id="backtest"')
    assert poll not in part.content.decode()
    assert "data-every-s" not in ada.get(LIST, headers=HTMX).content.decode()


def test_one_is_cancelled_and_run_again(ada: Client) -> None:
    put_in_draft(WIDER)
    write_answers(["A Tesla"])
    job = start(ada)

    part = ada.post(page_of(job, "cancel-backtest"), headers=HTMX)
    whole = ada.post(page_of(job, "cancel-backtest"))
    again = ada.post(page_of(job, "repeat-backtest"))

    assert "cancelled" in text(part)
    assert "It has found nothing" in text(part)
    assert whole["Location"] == page_of(job)
    fresh = Backtest.objects.unfinished().get()
    assert again["Location"] == page_of(fresh)
    assert fresh.draft_hash == job.draft_hash
    busy = ada.post(page_of(job, "repeat-backtest"))
    assert busy.status_code == 409
    assert page_of(fresh) in busy.content.decode()


def test_when_no_worker_is_there_it_is_said(ada: Client) -> None:
    put_in_draft(WIDER)
    write_answers(["A Tesla"])
    job = start(ada)
    fresh = text(ada.get(page_of(job)))
    Backtest.objects.update(beat_at=F("beat_at") - timedelta(seconds=42))

    said = text(ada.get(page_of(job)))

    assert "No worker" not in fresh
    assert "No worker has been at it for 42 s" in said


def test_those_before_it_are_counted(ada: Client) -> None:
    put_in_draft(WIDER)
    write_answers(["A Tesla"])
    actions.start_backtest(make_set(WIDER), size=1, by=make_admin("bob"))

    assert "1 other before it" in text(ada.get(page_of(start(ada))))


def test_why_one_failed_is_said(ada: Client) -> None:
    put_in_draft(WIDER)
    write_answers(["A Tesla"])
    job = start(ada)
    Backtest.objects.update(
        state="failed", reason="It was lost.", finished_at=F("requested_at")
    )

    said = text(ada.get(page_of(job)))

    assert "It was lost." in said
    assert "Run the same draft again" in said


def test_when_the_draft_or_what_is_in_force_has_changed_it_is_said(ada: Client) -> None:
    publish(BRANDS)
    put_in_draft(WIDER)
    write_answers(["A Tesla"])
    job = start(ada)
    run()
    as_it_was = text(ada.get(page_of(job)))

    publish(WIDER)
    published = text(ada.get(page_of(job)))
    put_in_draft(BRANDS)
    changed = text(ada.get(page_of(job)))

    assert "has changed since" not in as_it_was
    assert "Another rule-set is in force by now" in published
    assert "The draft has changed since" in changed
    assert "of an earlier draft" in text(ada.get(LIST))


def test_before_publishing_the_backtest_of_just_this_draft_is_shown(
    ada: Client,
) -> None:
    publish(BRANDS)
    put_in_draft(WIDER)
    write_answers(["A Tesla", "A BMW"])
    none = text(ada.get(REVIEW))
    job = start(ada)
    run()

    found = ada.get(REVIEW)
    put_in_draft(make_terms(terms=("tesla", "bmw", "lada")))

    assert "there was none" in none
    assert "Start a backtest" in none
    assert "1 of 2 end otherwise" in text(found)
    assert page_of(job) in found.content.decode()
    assert "there was none" in text(ada.get(REVIEW))


def form_of(ada: Client, slug: str) -> dict[str, str | list[str]]:
    form = ada.get(reverse("rules:rule", args=[slug])).context["form"]
    given = {field.name: field.value() for field in form}
    return {name: value for name, value in given.items() if value not in (None, [])}


def test_an_editor_tests_the_draft_with_what_stands_in_it(ada: Client) -> None:
    publish(BRANDS, HOLDING)
    write_answers(["A Tesla", "A BMW"])
    form = form_of(ada, "brands") | {"terms": "bmw", "mode": "draft", "size": "1000"}

    answer = ada.post(reverse("rules:backtest-rule"), form)

    job = Backtest.objects.get()
    run()
    job.refresh_from_db()
    assert answer["Location"] == page_of(job)
    assert Rule.objects.get(slug="brands").terms == ["tesla"]
    context = ada.get(page_of(job)).context
    [shown] = [rule for rule in context["shown"] if rule.id == "brands"]
    assert (shown.whole.new, shown.whole.lost) == (1, 1)
    assert "draft with brands as it was in its editor" in text(ada.get(LIST))


def test_what_an_editor_tested_is_of_the_draft_once_it_is_saved(ada: Client) -> None:
    publish(BRANDS)
    write_answers(["A Tesla"])
    form = form_of(ada, "brands") | {"terms": "bmw", "must_hit": "A BMW"}
    ada.post(reverse("rules:backtest-rule"), form | {"size": "1000"})
    run()
    before = ada.get(REVIEW)

    saved = ada.post(reverse("rules:rule", args=["brands"]), form)

    assert saved.status_code == 302
    assert before.context["backtest"] is None
    assert ada.get(REVIEW).context["backtest"] == Backtest.objects.get()


def test_an_editor_that_is_wrong_keeps_its_text(ada: Client) -> None:
    publish(BRANDS)
    write_answers(["A Tesla"])
    form = form_of(ada, "brands") | {"name": "Mine", "size": "1000"}
    url = reverse("rules:backtest-rule")

    wrong = ada.post(url, form | {"terms": ""})
    ada.post(url, form)
    busy = ada.post(url, form)

    assert wrong.status_code == 422
    assert "needs at least one term" in text(wrong)
    assert busy.status_code == 409
    assert 'value="Mine"' in busy.content.decode()
    assert "is not finished" in text(busy)
    assert ada.post(url, {"kind": "nothing"})["Location"] == reverse("rules:list")


def test_samples_are_shown_with_their_spans_and_on_record(ada: Client) -> None:
    publish(BRANDS)
    put_in_draft(WIDER)
    write(
        answer("See the <BMW> there", minute=1),
        held("Your BMW", minute=2),
        answer("Gone BMW", minute=3),
    )
    job = start(ada)
    run()
    lose_sample(job, 0)

    page = ada.get(page_of(job, "backtest-samples"))

    html = page.content.decode()
    assert 'See the &lt;<mark title="Brands">BMW</mark>&gt; there' in html
    assert "The text is no longer kept." in html
    assert "3 samples" in text(page)
    [entry] = Entry.objects.filter(action="backtest_samples_read")
    assert len(entry.detail["records"]) == 2
    for odd in ("9", "x", "99999"):
        assert ada.get(page_of(job, "backtest-samples"), {"page": odd}).status_code == (
            200
        )


def test_many_samples_have_pages(ada: Client) -> None:
    rules = [
        make_terms(id=f"r{number}", name=f"R{number}", must_hit=("tesla",))
        for number in range(10)
    ]
    put_in_draft(*rules)
    write_answers(["A Tesla"] * 6)
    job = start(ada)
    run()

    first = ada.get(page_of(job, "backtest-samples"))
    second = ada.get(page_of(job, "backtest-samples"), {"page": "1"})

    assert len(first.context["samples"]) == actions.PAGE
    assert len(second.context["samples"]) == 10
    assert "page 2 of 2" in text(second)


@pytest.mark.parametrize(
    ("role", "sees", "starts", "reads"),
    [
        ("moderator", 403, 403, 403),
        ("lead", 200, 403, 403),
        ("auditor", 200, 403, 200),
        ("admin", 200, 302, 200),
    ],
)
def test_who_may_do_what(
    client: Client, role: str, sees: int, starts: int, reads: int
) -> None:
    put_in_draft(WIDER)
    write_answers(["A Tesla"])
    by = User.objects.get(username="editor")
    job = actions.start_backtest(make_set(WIDER), size=9, by=by)
    run()
    client.force_login(make_user("somebody", role))

    assert client.get(page_of(job)).status_code == sees
    assert client.post(LIST, {"size": "1000"}).status_code == starts
    assert client.get(page_of(job, "backtest-samples")).status_code == reads
    if sees == 200:
        offers = b"Read the 1 sample" in client.get(page_of(job)).content
        assert offers == (reads == 200)


def test_the_list_costs_the_same_for_one_or_ten(
    ada: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    put_in_draft(WIDER)
    write_answers(["A Tesla"])
    start(ada)
    run()
    ada.get(LIST)
    with django_assert_num_queries(12):
        ada.get(LIST)
    for _ in range(9):
        start(ada)
        run()
    with django_assert_num_queries(12):
        ada.get(LIST)
    assert Backtest.objects.count() == 10


def test_the_most_that_is_asked_for_is_what_the_form_says() -> None:
    assert max(backtesting.PRESETS) <= backtesting.MAX_SIZE


def test_an_unchanged_editor_tests_the_draft_as_it_is(ada: Client) -> None:
    publish(BRANDS)
    write_answers(["A Tesla"])

    ada.post(reverse("rules:backtest-rule"), form_of(ada, "brands") | {"size": "1000"})

    assert Backtest.objects.get().draft_hash == backtesting.draft_hash()


def test_a_draft_that_cannot_be_read_is_told(ada: Client) -> None:
    put_in_draft(WIDER)
    write_answers(["A Tesla"])
    Rule.objects.update(kind="unknown")

    assert "Backtest the draft" in text(ada.get(LIST))
    answer = ada.post(LIST, {"size": "1000"})

    assert answer.status_code == 422
    assert "Brands: Invalid enum value" in text(answer)
