"""One rule: a form for its kind, what is wrong at its field, tried as it is written, and two who edit it."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse

from controlplane.audit.models import Entry
from controlplane.rulebook import forms
from guardrails import actions, rules
from guardrails.checks import check_rule
from guardrails.models import Rule, RuleVersion
from tests.agents.scorers.endpoint import settings_for
from tests.factories import make_admin, make_answer, make_turn, make_user
from tests.guardrails.factories import make_pattern, make_terms
from tests.rulebook.making import BRANDS, put_in_draft
from tests.rulebook.test_list import text

pytestmark = pytest.mark.django_db

ADD, TRY = reverse("rules:add"), reverse("rules:try")
RULE = reverse("rules:rule", args=["brands"])
FRAGMENT = {"HX-Request": "true", "HX-Request-Type": "partial"}
COMMON: dict[str, Any] = {
    "slug": "new-one",
    "seen": "0",
    "name": "New one",
    "direction": "output",
    "mode": "enforce",
    "action": "tag",
    "severity": "medium",
    "workflows": ["chat"],
}
OF_KIND: dict[str, dict[str, Any]] = {
    "terms": {"terms": "tesla\r\n\r\n  bmw "},
    "pattern": {"pattern": r"\bslova\b", "on_timeout": "hold"},
    "pii": {"types": ["card", "iban"], "regions": "DE"},
    "expression": {"expression": "discount_percent > limit", "limit": "5"},
    "threshold": {"field": "discount_percent", "limit": "5"},
    "score": {"score": "toxicity", "limit": "0.7"},
    "topic": {
        "examples": "poems\r\nsongs",
        "counter_examples": "",
        "is_allow_list": "False",
        "limit": "0.5",
    },
    "judge": {"instruction": "Is it rude?", "limit": "0.5"},
}


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(make_admin())
    return client


def form(kind: str = "terms", **fields: Any) -> dict[str, Any]:
    return COMMON | {"kind": kind} | OF_KIND[kind] | fields


def of_brands(**fields: Any) -> dict[str, Any]:
    """The form of BRANDS as its page shows it."""
    given = {
        "slug": "brands",
        "seen": "1",
        "name": "Brands",
        "action": "replace",
        "terms": "tesla",
        "reply": BRANDS.reply,
        "must_hit": "I like Tesla",
        "must_pass": "I like the E-Class",
    }
    return form() | given | fields


def test_every_kind_is_offered_and_has_a_form(ada: Client) -> None:
    offered = text(ada.get(ADD))

    for kind, (says, own) in forms.KINDS.items():
        assert says in offered
        page = ada.get(f"{ADD}?kind={kind}").content.decode()
        assert all(f'name="{field}"' in page for field in own)
    assert forms.KINDS.keys() == dict(Rule.Kind.choices).keys()


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_rule_of_each_kind_is_added_as_its_form_says(ada: Client, kind: str) -> None:
    answer = ada.post(ADD, form(kind))

    assert answer.status_code == 302, text(answer)
    rule = actions.to_struct(Rule.objects.get())
    assert (rule.kind, rule.mode, rule.version) == (kind, "enforce", 1)
    assert rule.terms == (("tesla", "bmw") if kind == "terms" else ())
    assert Entry.objects.get(action="rule_added").actor == "ada"
    assert "none: it cannot be published" in text(ada.get(answer["Location"]))


@pytest.mark.parametrize(
    ("given", "field", "sentence"),
    [
        (form(terms=""), "terms", "needs at least one term"),
        (form(action="replace"), "reply", "needs the text that the user gets"),
        (form(action="escalate"), "team", "needs the team that decides"),
        (form(action="block"), "action", "Only what comes in can be blocked"),
        (form(workflows=[]), "workflows", "covers no workflow"),
        (form(slug="a--b"), "slug", "single dashes"),
        (form(name=" "), "name", "needs a name"),
        (form(mode="canary"), "percent", "percentage above 0"),
        (form("pattern", pattern="foo(bar"), "pattern", "missing ) at column 8"),
        (form("pattern", pattern="a*"), "pattern", "matches the empty string"),
        (form("pattern", pattern=r"(a+)+\1$"), "pattern", "repeats inside"),
        (form("expression", expression="nope > 1"), "expression", "column 1: there is"),
        (form("expression", limit=""), "expression", "it reads limit"),
        (form("pii", types=[]), "types", "at least one type"),
        (form("pii", regions="XX"), "regions", "There is no region XX"),
        (form("score", score="A B"), "score", "name of the score"),
        (form("topic", limit="7"), "limit", "between -1 and 1"),
        (form("judge", action="redact"), "action", "A judge is a model that advises"),
        (form(direction="both"), "direction", "not one of the available"),
        (form(terms="tesla\r\n\u200b"), "terms", "One term is blank"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    ada: Client, given: dict[str, Any], field: str, sentence: str
) -> None:
    answer = ada.post(ADD, given)

    assert answer.status_code == 422
    said = answer.context["form"].errors
    assert sentence in " ".join(said[field])
    assert not Rule.objects.exists()


def test_every_problem_of_a_check_belongs_to_a_field_of_the_form() -> None:
    wrong = make_terms(id="A", name="", terms=(), action="block", workflows=())

    problems = check_rule(wrong)

    fields = {problem.field for problem in problems}
    assert fields == {"id", "name", "terms", "action", "workflows"}


@pytest.mark.parametrize(
    ("kind", "field", "written", "marked"),
    [
        ("pattern", "pattern", "foo)bar", "foo<mark>)</mark>bar"),
        ("pattern", "pattern", "\r\nfoo)bar", "foo<mark>)</mark>bar"),
        (
            "expression",
            "expression",
            "discount_percent > 5.0\r\n  && nope",
            "&amp;&amp; <mark>n</mark>ope",
        ),
    ],
)
def test_the_column_of_an_error_is_marked(
    ada: Client, kind: str, field: str, written: str, marked: str
) -> None:
    answer = ada.post(ADD, form(kind, **{field: written}))

    assert marked in answer.content.decode()


def test_the_form_keeps_what_it_does_not_show(ada: Client) -> None:
    put_in_draft(make_terms(instruction="of another kind", must_hit=("tesla",)))

    ada.post(RULE, of_brands(reply="Ours."))

    rule = Rule.objects.get()
    assert (rule.reply, rule.instruction, rule.version) == (
        "Ours.",
        "of another kind",
        2,
    )


def test_a_saved_rule_says_what_it_costs_and_how_its_cases_came_out(
    ada: Client,
) -> None:
    put_in_draft(BRANDS)
    assert "Not measured" in text(ada.get(RULE))

    ada.post(RULE, of_brands(must_hit=["I like Tesla", "BMW"]))

    said = text(ada.get(RULE))
    assert re.search(r"As it was saved fast [\d,]+ µs at worst", said)
    assert "1 not as expected" in said
    assert (
        "must hit BMW alone and with all rules it came out as allow: nothing hit"
        in said
    )
    assert "v2 by ada" in said
    ada.post(RULE, of_brands(seen="2"))
    assert "2 as expected, alone and with all rules" in text(ada.get(RULE))


def test_a_case_may_have_several_lines_and_rules_leave_and_come_back_with_it(
    ada: Client,
) -> None:
    put_in_draft(BRANDS)
    given = ["Dear Sirs,\r\n\r\nI like Tesla.\r\n", "", "tesla"]

    ada.post(RULE, of_brands(must_hit=given))

    rule = Rule.objects.get()
    cases = ["Dear Sirs,\n\nI like Tesla.", "tesla"]
    assert rule.must_hit == cases
    page = ada.get(RULE).content.decode()
    assert page.count('name="must_hit"') == 4  # and two that are empty
    assert "Dear Sirs,\n\nI like Tesla.</textarea>" in page
    for form in ("json", "csv"):
        taken = ada.get(f"/rules/export/?form={form}").content.decode()
        put_in_draft(BRANDS)
        shown = ada.post("/rules/import/", {"rules": taken}).context["form"]
        ada.post("/rules/import/", {"rules": taken, "seen": shown["seen"].value()})
        rule.refresh_from_db()
        assert rule.must_hit == cases


def test_a_rule_has_no_more_cases_than_can_be_tried(ada: Client) -> None:
    many = [f"I like Tesla {number}" for number in range(1_200)]
    put_in_draft(make_terms(must_hit=tuple(many)))
    there = ada.get("/rules/export/?form=csv").content.decode()
    given = of_brands(must_hit=many, must_pass="")

    for answer in (
        ada.post("/rules/import/", {"rules": there}),
        ada.post(RULE, given),
        ada.post(TRY, given | {"text": "I like Tesla"}),
    ):
        assert "The rule has 1,200 cases; 500 are the most." in text(answer)
    assert Rule.objects.get().version == 1
    ada.post(RULE, of_brands(must_hit=many[:499]))
    assert "500 as expected, alone and with all rules" in text(ada.get(RULE))


def test_a_pattern_says_which_engine_runs_it_and_how_its_edges_were_rewritten(
    ada: Client,
) -> None:
    added = ada.post(ADD, form("pattern", pattern=r"\bslova\b(?!x)"))

    said = text(ada.get(added["Location"]))
    assert "look-around" in said
    assert r"\b is the edge of a word in every script" in said


def test_a_text_is_tried_as_it_is_typed_and_nothing_is_saved(ada: Client) -> None:
    put_in_draft(BRANDS, make_pattern(r"\d+", name="Digits"))

    answer = ada.post(
        TRY,
        of_brands(terms="bmw", text="5 BMWs or 1 bmw, no Tesla"),
        headers=FRAGMENT,
    )

    html = answer.content.decode()
    assert re.findall(r"<mark[^>]*>([^<]*)", html) == ["bmw"]
    said = text(answer)
    assert "replace" in said
    assert "also hit by Digits" in said
    assert Rule.objects.get(slug="brands").terms == ["tesla"]
    passing = ada.post(TRY, of_brands(text="An E-Class"), headers=FRAGMENT)
    assert "passes this rule" in text(passing)


def test_it_is_tried_without_htmx_too_and_the_form_keeps_what_was_written(
    ada: Client,
) -> None:
    put_in_draft(BRANDS)

    answer = ada.post(TRY, of_brands(reply="Not saved", text="a Tesla"))

    page = answer.content.decode()
    assert "<!doctype html>" in page
    assert "Not saved" in page
    assert re.findall(r"<mark[^>]*>([^<]*)", page) == ["Tesla"]


def test_what_cannot_be_tried_says_why(ada: Client) -> None:
    answer = ada.post(TRY, form("pattern", pattern="(", text="x"), headers=FRAGMENT)
    assert "It cannot be tried" in text(answer)
    assert "does not compile" in text(answer)

    with override_settings(SCORERS=settings_for("http://127.0.0.1:1/v1")):
        scored = ada.post(TRY, form("score", text="x"), headers=FRAGMENT)
    assert "held: cannot be checked" in text(scored)
    assert ada.post(TRY, {"kind": "dance"}).status_code == 302


def test_a_recorded_message_is_taken_into_the_text_and_that_is_on_record(
    ada: Client,
) -> None:
    put_in_draft(BRANDS)
    card = "We prefer Tesla to 4111 1111 1111 1111."
    said = make_answer(make_turn(), text=card)
    listed = text(ada.get(RULE))
    assert "We prefer Tesla to [card]." in listed
    assert "4111" not in listed
    assert not Entry.objects.filter(action="message_read").exists()

    answer = ada.post(TRY, of_brands(message=str(said.pk)), headers=FRAGMENT)

    assert 'id="try"' in answer.content.decode()
    assert f"{card}</textarea>" in answer.content.decode()
    assert ">Tesla</mark>" in answer.content.decode()
    entry = Entry.objects.get(action="message_read")
    assert (entry.actor, entry.trace_id) == ("ada", said.turn.trace_id)


@pytest.mark.parametrize("odd", ["9" * 18, "9" * 5_000, "-1", "x", "²"])
def test_a_recorded_message_that_is_none_is_not_taken(ada: Client, odd: str) -> None:
    put_in_draft(BRANDS)

    answer = ada.post(TRY, of_brands(message=odd, text="a Tesla"), headers=FRAGMENT)

    assert re.findall(r"<mark[^>]*>([^<]*)", answer.content.decode()) == ["Tesla"]
    assert not Entry.objects.filter(action="message_read").exists()


def test_who_may_not_read_conversations_gets_none_to_try(client: Client) -> None:
    user = make_user("nele")
    put_in_draft(BRANDS)
    said = make_answer(make_turn(), text="a secret Tesla")
    from django.contrib.auth.models import Permission  # noqa: PLC0415

    user.user_permissions.set(
        Permission.objects.filter(codename__in=["view_rule", "change_rule"])
    )
    client.force_login(user)

    assert "a secret" not in text(client.get(RULE))
    answer = client.post(TRY, of_brands(message=str(said.pk)), headers=FRAGMENT)
    assert "a secret" not in text(answer)


def test_the_second_of_two_sees_what_the_first_has_changed_and_both_texts(
    ada: Client,
) -> None:
    editor = put_in_draft(BRANDS)
    first = rules.Rule(**{**_fields(BRANDS), "reply": "Theirs.", "priority": 7})
    actions.save_rule(first, editor=editor, seen=1)

    answer = ada.post(RULE, of_brands(reply="Mine.", must_hit="my Tesla"))

    assert answer.status_code == 409
    said = text(answer)
    assert "editor saved version 2 while you were writing on version 1" in said
    html = answer.content.decode()
    assert "<ins>Theirs</ins>" in html
    assert "<ins>Mine</ins>" in html
    assert "is taken into the form: Priority 0 7" in said
    again = answer.context["form"].initial
    assert (again["seen"], again["reply"], again["priority"]) == (2, "Mine.", 7)
    assert again["must_hit"] == ("my Tesla",)
    assert Rule.objects.get().reply == "Theirs."


def test_two_who_changed_different_fields_are_brought_together(ada: Client) -> None:
    editor = put_in_draft(BRANDS)
    first = rules.Rule(**{**_fields(BRANDS), "priority": 7})
    actions.save_rule(first, editor=editor, seen=1)

    answer = ada.post(RULE, of_brands(reply="Mine."))

    assert "You changed different fields" in text(answer)


def test_the_page_of_a_rule_saves_no_other_one(ada: Client) -> None:
    put_in_draft(BRANDS, make_terms(id="other"))

    for slug in ("other", "new-one"):
        ada.post(RULE, of_brands(slug=slug, reply="Ours.", seen="1"))

    saved = dict(Rule.objects.values_list("slug", "reply"))
    assert saved == {"brands": "Ours.", "other": BRANDS.reply}


def test_a_rule_that_was_deleted_meanwhile_is_not_lost(ada: Client) -> None:
    editor = put_in_draft(BRANDS)
    stays = ada.get(RULE)
    actions.delete_rule("brands", editor=editor, seen=1)
    assert stays.status_code == 200

    answer = ada.post(ADD, of_brands(reply="Mine."))

    assert answer.status_code == 409
    assert "deleted the rule meanwhile" in text(answer)
    assert "Mine." in answer.content.decode()


def test_an_id_that_is_taken_is_said_at_its_field(ada: Client) -> None:
    put_in_draft(BRANDS)

    answer = ada.post(ADD, of_brands(seen="0"))

    assert answer.status_code == 409
    assert "There is a rule with this id" in text(answer)


def test_a_rule_is_taken_out_of_the_draft(ada: Client) -> None:
    editor = put_in_draft(BRANDS)
    delete = reverse("rules:delete", args=["brands"])
    actions.save_rule(make_terms(reply="Ours."), editor=editor, seen=1)

    refused = ada.post(delete, {"seen": "1"})
    assert refused.status_code == 409
    assert "Somebody has saved version 2" in text(refused)

    assert ada.post(delete, {"seen": "2"}).status_code == 302
    assert not Rule.objects.exists()
    for odd in ("x", "9" * 5_000, "²"):
        assert ada.post(delete, {"seen": odd}).status_code == 302


def test_a_rule_that_cannot_be_read_says_so_and_is_taken_out(ada: Client) -> None:
    put_in_draft(BRANDS)
    Rule.objects.update(kind="dance")

    page = ada.get(RULE)

    assert "Brands: Invalid enum value 'dance'" in text(page)
    assert "cannot read it" in text(ada.post(RULE, of_brands()))
    tried = ada.post(TRY, of_brands(text="a Tesla"), headers=FRAGMENT)
    assert "passes" not in text(tried)
    delete = reverse("rules:delete", args=["brands"])
    assert 'name="seen" value="1"' in page.content.decode()
    assert ada.post(delete, {"seen": "1"}).status_code == 302
    assert not Rule.objects.exists()


def test_a_version_that_a_later_product_wrote_does_not_hide_the_rule(
    ada: Client,
) -> None:
    editor = put_in_draft(BRANDS)
    later = {**RuleVersion.objects.get().body, "field_to_come": 1}
    RuleVersion.objects.create(slug="brands", version=2, body=later, saved_by=editor)
    Rule.objects.update(version=3)

    assert "Not measured" in text(ada.get(RULE))
    clash = ada.post(RULE, of_brands(seen="2", reply="Mine."))
    assert clash.status_code == 409
    assert "Mine." in clash.content.decode()


@pytest.mark.parametrize("field", ["slug", "message", "text", "terms"])
def test_a_character_that_no_text_has_is_no_fault_of_the_server(
    ada: Client, field: str
) -> None:
    put_in_draft(BRANDS)

    answer = ada.post(TRY, of_brands(text="a Tesla") | {field: "a\0b"})

    assert answer.status_code == 200
    assert ada.post(ADD, form() | {"slug": "new", field: "a\0b"}).status_code in {
        302,
        422,
    }


@pytest.mark.parametrize("role", ["lead", "auditor"])
def test_who_may_only_look_changes_nothing(client: Client, role: str) -> None:
    put_in_draft(BRANDS)
    client.force_login(make_user("otto", role))

    page = client.get(RULE)
    assert "to be read only" in text(page)
    assert client.post(RULE, of_brands(reply="Ours.")).status_code == 403
    assert client.post(TRY, of_brands(text="x")).status_code == 403
    assert client.get(ADD).status_code == 403
    assert Rule.objects.get().reply == BRANDS.reply
    assert User.objects.count() == 2


def _fields(rule: rules.Rule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in rules.Rule.__struct_fields__}
