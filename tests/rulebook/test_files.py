"""Rules as files: what goes out comes back the same, and what is wrong is said with its line."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from controlplane.rulebook import files
from guardrails import actions
from guardrails.dealer import DEALER
from guardrails.models import Rule, RuleVersion
from guardrails.rules import encode_rule_set
from tests.factories import make_admin, make_user
from tests.guardrails.factories import make_set, make_terms, make_threshold
from tests.rulebook.making import BRANDS, put_in_draft
from tests.rulebook.test_list import text

IMPORT, EXPORT = reverse("rules:import"), reverse("rules:export")
GOOD = '{"id": "a", "name": "A", "direction": "output", "kind": "terms", "action": "tag", "terms": ["x"]}'


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(make_admin())
    return client


def bring(client: Client, content: str) -> Any:
    return client.post(IMPORT, {"rules": content})


@pytest.mark.parametrize("form", ["json", "csv"])
def test_what_is_written_is_read_the_same(form: files.Format) -> None:
    cases = ("5 %", "Grüße,\n\n5 %", '"5 %"', '"5', " 5 %", "5\u2028%", "5\r\n%", "[5]")
    odd = make_threshold(
        id="odd", limit=0.1 + 0.2, priority=-3, name='"A, b";\t=1+1', must_hit=cases
    )
    rules = [*DEALER.rules, odd]

    again = files.read(files.write(rules, form).decode())
    assert encode_rule_set(make_set(*again)) == encode_rule_set(make_set(*rules))


@pytest.mark.parametrize(
    (("content", "problems")),
    [
        ("{}", [(1, 'It must be {"rules"')]),
        ('{"rules": []}', [(1, "There is no rule in it")]),
        (f"[\n{GOOD},\n{{]", [(3, "at column 2")]),
        (f"[\n{GOOD}\n{GOOD}]", [(2, "A comma or ] is missing")]),
        (f"[\n{GOOD},\n\n{GOOD}]", [(2, "more than once"), (4, "more than")]),
        (
            '[\n{"id": "b"},\n' + GOOD.replace('["x"]', "[]") + "]",
            [(2, "missing required field"), (3, "at least one term")],
        ),
        ("[5]", [(1, "Expected `object`")]),
        ("id,colour\na,red\n", [(1, "There is no column colour")]),
        ("name\nA\n", [(1, "The column id is missing")]),
        ("", [(1, "The column id is missing")]),
        (
            (
                'id,name,direction,kind,action,terms,limit\na,A,output,terms,tag,"x\ny",\n'
                "b,B,output,terms,tag,,\nc,C,output,terms,tag,x,much\nd,D,output,terms,tag,x,1,2\n"
            ),
            [
                (4, "at least one term"),
                (5, "got `str`"),
                (6, "a cell without a column"),
            ],
        ),
        ('id,name\na,"b', [(2, "It cannot be read")]),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    content: str, problems: list[tuple[int, str]]
) -> None:
    with pytest.raises(files.FileError) as refused:
        files.read(content)

    found = refused.value.problems
    assert [each.line for each in found] == [line for line, _ in problems]
    for each, (_, says) in zip(found, problems, strict=True):
        assert says in each.says


def test_too_many_rules_or_problems_are_cut() -> None:
    many = ",\n".join(GOOD.replace('"a"', f'"a{n}"') for n in range(501))
    with pytest.raises(files.FileError, match="more than 500 rules"):
        files.read(f"[\n{many}]")

    wrong = ",\n".join(['{"id": "x"}'] * 60)
    with pytest.raises(files.FileError) as refused:
        files.read(f"[{wrong}]")
    assert (len(refused.value.problems), refused.value.unlisted) == (50, 70)


@pytest.mark.django_db
def test_the_draft_is_exported_and_imported_into_the_draft(ada: Client) -> None:
    put_in_draft(BRANDS, make_threshold(must_hit=("5,000 off",)))
    exported = ada.get(f"{EXPORT}?form=csv")
    assert exported["Content-Disposition"] == 'attachment; filename="rules.csv"'
    put_in_draft(make_terms(reply="Changed."))
    Rule.objects.filter(slug="discounts").delete()

    answer = bring(ada, exported.content.decode())

    said = text(answer)
    assert "Imported 2 changed 0 were in the draft already" in said
    assert Rule.objects.get(slug="brands").reply == BRANDS.reply
    assert [rule.version for rule in Rule.objects.order_by("slug")] == [3, 2]
    assert RuleVersion.objects.latest_first()[0].saved_by.username == "ada"
    again = bring(ada, ada.get(EXPORT).content.decode())
    assert "2 were in the draft already" in text(again)


@pytest.mark.django_db
def test_a_file_with_one_wrong_rule_changes_nothing(ada: Client) -> None:
    endless = (
        GOOD.replace('"a"', '"b"')
        .replace("terms", "pattern", 1)
        .replace('"terms": ["x"]', r'"pattern": "(a+)+\\1$"')
    )

    answer = bring(ada, f"[{GOOD},\n{endless}]")

    assert answer.status_code == 422
    assert "Line 2: It takes more than 50 ms" in text(answer)
    assert actions.draft() == make_set()


@pytest.mark.django_db
def test_nothing_is_no_file(ada: Client) -> None:
    assert "Put rules in here" in text(ada.post(IMPORT))
    assert ada.get(IMPORT).status_code == 200


@pytest.mark.django_db
def test_who_may_only_look_exports_and_imports_nothing(client: Client) -> None:
    put_in_draft(BRANDS)
    client.force_login(make_user("otto", "auditor"))

    assert b"brands" in client.get(EXPORT).content
    assert bring(client, f"[{GOOD}]").status_code == 403
