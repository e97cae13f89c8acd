"""Rules as files: what goes out comes back the same, and what is wrong is said with its line."""

import csv
import io
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


def look(client: Client, content: str) -> Any:
    return client.post(IMPORT, {"rules": content})


def bring(client: Client, content: str) -> Any:
    """Look at what it changes, then put it into the draft."""
    return client.post(IMPORT, form_of(look(client, content)))


def form_of(answer: Any) -> dict[str, str]:
    return {field.name: str(field.value()) for field in answer.context["form"]}


@pytest.mark.parametrize("form", ["json", "csv"])
def test_what_is_written_is_read_the_same(form: files.Format) -> None:
    cases = (
        "=1+1",
        "5 %",
        "Grüße,\n\n5 %",
        '"5 %"',
        '"5',
        " 5 %",
        "5\u2028%",
        "5\r\n%",
        "[5]",
    )
    odd = make_threshold(
        id="odd", limit=0.1 + 0.2, priority=-3, name='"A, b";\t=1+1', must_hit=cases
    )
    formulas = [
        make_terms(id=f"f-{number}", name=name)
        for number, name in enumerate(("=1+1", "'=1", "''@x", "'x", "-1", "\t=1", "+"))
    ]
    rules = [*DEALER.rules, odd, *formulas]

    again = files.read(files.write(rules, form).decode())
    assert encode_rule_set(make_set(*again)) == encode_rule_set(make_set(*rules))


def test_no_cell_begins_as_a_formula() -> None:
    rule = make_terms(
        name="=HYPERLINK(A1)", reply="@SUM(1)", terms=("+1", "-2"), priority=-3
    )

    [row] = csv.DictReader(io.StringIO(files.write([rule], "csv").decode()))

    starting = {name: cell for name, cell in row.items() if cell[:1] in set("=+-@")}
    assert starting == {"priority": "-3"}
    assert (row["name"], row["terms"]) == ("'=HYPERLINK(A1)", "'+1\n-2")


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
        ('id,"na"me\na,b', [(1, "It cannot be read")]),
        ("id,name,name\na,b,c", [(1, "The column name is there more than once")]),
        (
            f"[{GOOD}]\n[{GOOD}]",
            [(1, "There is more after the list of rules")],
        ),
        (
            "[\n" + GOOD.replace('"A"', '"A", "name": "B"') + "]",
            [(2, "The field name is there more than once")],
        ),
        ("[\n" + "[" * 100_000, [(2, "lists in lists")]),
        (
            "[" + GOOD.replace('"A"', f'"A", "priority": {"9" * 5_000}') + "]",
            [(1, "got `float`")],
        ),
        (
            "[" + GOOD.replace('"A"', '"A", "percent": 1e999') + "]",
            [(1, "percent must be a finite number")],
        ),
        (
            "[" + GOOD.replace('"A"', r'"A\u0000"') + "]",
            [(1, "name is one that no text can have")],
        ),
        (
            "[" + GOOD.replace('["x"]', r'["\ud800"]') + "]",
            [(1, "terms is one that no text can have")],
        ),
        (
            "[" + GOOD.replace('"A"', f'"{"A" * 201}"') + "]",
            [(1, "More than 200 characters in name")],
        ),
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
    again = look(ada, ada.get(EXPORT).content.decode())
    assert "It changes nothing: 2 rules are in the draft already" in text(again)


@pytest.mark.django_db
def test_what_a_file_would_change_is_shown_before_it_does(ada: Client) -> None:
    put_in_draft(BRANDS, make_threshold())
    content = files.write(
        [make_threshold(), make_terms(reply="Ours."), make_terms(id="new")], "json"
    ).decode()

    shown = look(ada, content)

    changes = [(each.id, each.change) for each in shown.context["found"]["changes"]]
    assert changes == [("new", "new"), ("brands", "changed")]
    assert "<ins>Ours</ins>" in shown.content.decode()
    assert "1 is there already, as it is" in text(shown)
    assert Rule.objects.get(slug="brands").reply == BRANDS.reply
    assert "Imported 2 changed 1 was" in text(ada.post(IMPORT, form_of(shown)))
    assert Rule.objects.get(slug="brands").reply == "Ours."


@pytest.mark.django_db
def test_an_import_writes_over_nothing_that_was_not_looked_at(ada: Client) -> None:
    put_in_draft(BRANDS)
    shown = form_of(look(ada, files.write([make_terms(reply="Mine.")], "csv").decode()))
    put_in_draft(make_terms(reply="Theirs."))

    answer = ada.post(IMPORT, shown)

    assert answer.status_code == 409
    assert "Nothing is imported" in text(answer)
    assert "<del>Theirs</del><ins>Mine</ins>" in answer.content.decode()
    assert Rule.objects.get().reply == "Theirs."
    other = form_of(answer) | {"rules": f"[{GOOD}]"}
    assert ada.post(IMPORT, other).status_code == 409
    assert ada.post(IMPORT, form_of(answer)).status_code == 200
    assert Rule.objects.get().reply == "Mine."


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
    assert look(client, f"[{GOOD}]").status_code == 403
