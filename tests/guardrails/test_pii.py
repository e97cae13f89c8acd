# ruff: noqa: RUF001 - other scripts are the matter here
"""Personal data: what is one, what only looks like one, and that nothing of it is left."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stdnum import iban, luhn

from guardrails.context import Context
from guardrails.engine import compile_rules
from guardrails.pii.finding import look_at
from guardrails.pii.types import TYPES
from guardrails.text import views
from tests.guardrails.factories import (
    check,
    make_pattern,
    make_pii,
    make_set,
    make_terms,
    without_clock,
)

EVERY = make_pii(*TYPES)
ENGINE = compile_rules(make_set(EVERY))
INPUT = Context(direction="input", tier="free", workflow="chat")

VALUES = {
    "card": [
        "4111 1111 1111 1111",
        "4111111111111111",
        "5555-5555-5555-4444",
        "378282246310005",
        "3782 822463 10005",
        "4111/1111/1111/1111",
        "6011111111111117",
        "4111\t1111\t1111\t1111",
        "5555 5555\r\n5555 4444",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 00",
        "GB29NWBK60161331926819",
        "fr1420041010050500013m02606",
        "DE89.3704.0044.0532.0130.00",
        "GB29 NWBK 6016\n1331 9268 19",
    ],
    "email": [
        "max.mustermann@example.com",
        "Max+1@Mail.Example.co.uk",
        "müller@firma-müller.de",
    ],
    "phone": [
        "+49 711 17-0",
        "+1 (415) 555-2671",
        "0049 711 1234567",
        "(415) 555-2671",
        "030/1234567",
        "+442079460958",
        "+49\t711\t17-0",
    ],
    "ssn": ["536-90-4399"],
    "national_id": [
        "12345678Z",
        "X1234567L",
        "RSSMRA85T10A562S",
        "756.9217.0769.85",
        "131052-308T",
        "811228-9874",
        "390.533.447-05",
        "11010519491231002X",
    ],
    "ip": ["192.168.12.34", "2001:db8:85a3::8a2e:370:7334", "fe80::1"],
    "secret": [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "sk-proj-abcdefghijklmnopqrstuvwx",
        "password: hunter2hunter2",
        "api_key = a8f5f167f44f4964e6c998dee827110c",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    ],
}
NONE = [
    "My order number is 4111111111111112.",
    "Order 1234567890123456 of 2026-05-17",
    "Invoice 9999 8888 7777 6666",
    "We use version 10.0.22.1 of the app.",
    "Firmware 1.2.3.4",
    "v2.10.0.7",
    "At 12:30:45 in building 1.2.3",
    "999.999.999.999",
    "std::vector and a::b",
    "The range is 415 555 km",
    "The price is 1,234,567.89 €",
    "Article 1234567890",
    "DE89370400440532013001",
    "Model GLC 300 4MATIC of 2024-05-17, 17.05.2024",
    "mail me @home",
    "000-00-0000",
    "12345678A",
    "sk-ip to the next",
    "Where is my parcel 00340434161094042557?",
    "030\n1234567",
]


@pytest.mark.parametrize(
    ("label", "value"), [(label, value) for label in VALUES for value in VALUES[label]]
)
def test_a_value_is_found_whole_and_by_its_type(label: str, value: str) -> None:
    text = f"Hello, it is {value} today."

    [finding] = check(text, make_pii(label)).findings

    assert (text[finding.start : finding.end], finding.label) == (value, label)
    assert finding.said == TYPES[label].placeholder


@pytest.mark.parametrize(
    ("before", "after"),
    [("\u6211\u7684\u662f", "\u8c22\u8c22"), ("\ube44\ubc00 ", "\uc785\ub2c8\ub2e4"), ("カード", "です"), ("บัตร", "ครับ")],
    ids=["Han", "Hangul", "kana", "Thai"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("label", "value"), [(label, value) for label in VALUES for value in VALUES[label]]
)
def test_beside_writing_without_spaces_a_value_stands_alone(
    label: str, value: str, before: str, after: str
) -> None:
    verdict = check(f"{before}{value}{after}", make_pii(label))

    assert value not in verdict.redacted
    assert verdict.redacted.startswith(before + TYPES[label].placeholder)


def test_an_address_may_have_letters_of_such_writing_itself() -> None:
    text = "用户@例子.公司, 我的是max@example.com请问"

    assert check(text, make_pii("email")).redacted == "[e-mail], 我的是[e-mail]请问"


@pytest.mark.parametrize("text", NONE)
def test_what_only_looks_like_one_passes(text: str) -> None:
    assert check(text, EVERY).action == "allow"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("My Steuer-ID is 36 574 261 809.", True),
        ("Parcel 36 574 261 809", False),
        ("BSN 111222333", True),
        ("Ticket 111222333", False),
        ("My SSN is 536904399", True),
        ("Case 536904399", False),
        ("Tax id 20 36574261809", True),
    ],
)
def test_digits_alone_count_where_they_are_called_by_their_name(
    text: str, is_one: object
) -> None:
    assert bool(check(text, make_pii("ssn", "national_id")).findings) is is_one


def test_regions_say_whose_numbers_are_meant() -> None:
    assert check("030/1234567", make_pii("phone", regions=("US",))).action == "allow"
    assert (
        check("030/1234567", make_pii("phone", regions=("DE",))).redacted == "[phone]"
    )
    assert (
        check("12345678Z", make_pii("national_id", regions=("IT",))).action == "allow"
    )


@pytest.mark.parametrize(
    "text",
    [
        "４１１１ １１１１ １１１１ １１１１",
        "4111\u200b1111\u00ad11111111",
        "m\u200bax@ex\uff41mple.com",
    ],
)
def test_a_disguise_does_not_help(text: str) -> None:
    assert check(text, EVERY).redacted in {"[card]", "[e-mail]"}


def test_a_key_is_taken_to_its_end() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIE\nabc\n-----END PRIVATE KEY-----"

    assert check(f"a {key} b", EVERY).redacted == "a [secret] b"
    assert check(f"a {key[:-20]}", EVERY).redacted == "a [secret]"


def test_what_is_redacted_is_named_by_its_kind() -> None:
    rules = (
        make_pii("card", "email"),
        make_terms(
            id="t", direction="input", action="redact", terms=("hush",), reply=""
        ),
        make_pattern(r"x\d+", id="p", direction="input", action="redact", reply=""),
    )

    verdict = check("Hush: 4111 1111 1111 1111 of a@b.example, X17", *rules)

    assert (verdict.action, {f.redacts for f in verdict.findings}) == ("tag", {True})
    assert verdict.redacted == "[removed]: [card] of [e-mail], [removed]"


def test_an_exception_excuses_a_value() -> None:
    rule = make_pii("email", exceptions=("service@dealer.example",))
    verdict = check("service@dealer.example or max@example.com", rule)

    assert verdict.redacted == "service@dealer.example or [e-mail]"


def test_more_than_can_be_told_is_still_redacted() -> None:
    verdict = check("a@b.example " * 80, make_pii("email"))

    assert verdict.redacted == "[e-mail] " * 80
    assert len(verdict.findings) == 50


def _card(digits: str) -> str:
    return digits + luhn.calc_check_digit(digits)


def _account(digits: str) -> str:
    return f"DE{iban.calc_check_digits('DE00' + digits)}{digits}"


def _digits(start: str, length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=length, max_size=length).map(
        lambda d: start + d
    )


MADE = st.one_of(
    _digits("4", 14).map(_card),
    _digits("5412", 11).map(_card),
    _digits("", 18).map(_account),
    st.text("abcdefgh", min_size=1, max_size=6).map(lambda name: f"{name}@example.com"),
    st.integers(2000, 9999).map(lambda n: f"+49 711 12{n}"),
    st.sampled_from([value for values in VALUES.values() for value in values]),
)
AROUND = st.text(st.sampled_from("aZ1 .,-@:/é\u200bж保\n("), max_size=8) | st.text(
    st.characters(codec=None), max_size=5
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(AROUND, MADE, AROUND), max_size=3))
def test_redaction_leaves_nothing_of_what_was_found(
    pieces: list[tuple[str, str, str]],
) -> None:
    text = "".join(before + value + after for before, value, after in pieces)

    with without_clock():
        verdict = ENGINE.check(text, INPUT)
        again = ENGINE.check(verdict.redacted or text, INPUT)

    assert not verdict.error
    for finding in verdict.findings:
        assert 0 <= finding.start < finding.end <= len(text)
    assert (again.action, again.findings) == ("allow", ())


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(TYPES)), st.lists(st.tuples(AROUND, MADE), max_size=2))
@example("iban", [("ж", "DE89370400440532013000"), ("", "")])
@example("card", [("", "4111/1111/1111/1111"), ("", "")])
def test_candidates_lead_to_everything_that_is_one(
    label: str, pieces: list[tuple[str, str]]
) -> None:
    """What is found does not depend on what else stands in the text."""
    text = "".join(before + value for before, value in pieces)
    looks = [look_at(view.text, frozenset(), lambda: None) for view in views(text)]
    wanted = {
        view.span(*place)
        for view, look in zip(views(text), looks, strict=True)
        for place in TYPES[label].find(look)
    }

    with without_clock():
        found = check(text, make_pii(label)).findings

    assert {(hit.start, hit.end) for hit in found} == wanted


@settings(max_examples=30, deadline=None)
@given(st.lists(MADE, min_size=1, max_size=4))
def test_no_value_between_words_is_left(values: list[str]) -> None:
    text = "; ".join(f"so {value}" for value in values)

    with without_clock():
        redacted = ENGINE.check(text, INPUT).redacted

    assert not any(value in redacted for value in values)
