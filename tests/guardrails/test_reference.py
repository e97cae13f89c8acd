# ruff: noqa: RUF001 - other scripts are the matter here
"""The engine against a slow reference on `re`, for any text in any script."""

from functools import lru_cache
from re import _parser as parser  # type: ignore[attr-defined, unused-ignore]

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guardrails.checks import check_rule
from guardrails.context import Context
from guardrails.engine import Engine, compile_rules
from guardrails.kinds import plan_pattern
from guardrails.rules import Rule
from tests.guardrails.factories import (
    make_pattern,
    make_set,
    make_terms,
    without_clock,
)
from tests.guardrails.reference import merge, pattern_spans, term_spans

EXAMPLES = 60

# Letters with and without spaces between words, marks, digits, look-alikes, what folds to more, what is no scalar value.
SIGNS = "abcAB1٣_ -.,\néÉßﬁЖжаΣ保证ท๓ก\u0301\u200b½İ\ud800😀\u2028"
TEXTS = st.text(st.sampled_from(SIGNS), max_size=9) | st.text(
    st.characters(codec=None), max_size=7
)
# hyperscan looks at 17 bytes and more in other ways.
LONG_TEXTS = TEXTS.map(lambda text: ". " * 8 + text)
_ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "c",
        "1",
        "é",
        "ж",
        "保",
        "证",
        "_",
        " ",
        "-",
        ".",
        "[ab]",
        "[^a]",
        "[а-я]",
        r"\w",
        r"\d",
        r"\s",
    ]
)
_ENDS = st.sampled_from(["", "", "", r"\b", r"\b", r"\B", "^", "$"])
_BODIES = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(
            lambda ways: f"(?:{'|'.join(ways)})"
        ),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{1,2}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        st.tuples(inner, inner).map(lambda pair: rf"{pair[0]}\b{pair[1]}"),
    ),
    max_leaves=5,
)
PATTERNS = st.tuples(_ENDS, _BODIES, _ENDS).map("".join)
WORDS = st.text(st.sampled_from("abc1éßЖ保+-"), min_size=1, max_size=3)
TERMS = st.lists(
    st.lists(WORDS, min_size=1, max_size=2).map(" ".join), min_size=1, max_size=3
)


@lru_cache(maxsize=8)
def _engine(rule: Rule) -> Engine:
    return compile_rules(make_set(rule))


def spans(rule: Rule, text: str) -> list[tuple[int, int]]:
    engine = _engine(rule)
    context = Context(direction=rule.direction, tier="free", workflow="chat")
    with without_clock():
        verdict = engine.check(text, context)
    assert not verdict.error
    return [(finding.start, finding.end) for finding in verdict.findings]


@settings(max_examples=EXAMPLES, deadline=None)
@given(PATTERNS, st.lists(TEXTS | LONG_TEXTS, min_size=3, max_size=6))
def test_patterns_find_what_re_finds(pattern: str, texts: list[str]) -> None:
    rule = make_pattern(pattern)
    if check_rule(rule) or parser.parse(pattern).getwidth()[0] == 0:
        return  # it could match the empty string
    for text in texts:
        found, wanted = spans(rule, text), pattern_spans(pattern, text)
        source = plan_pattern(pattern)
        if source is not None and source.is_exact:
            assert found == wanted
        else:  # `regex` takes the first way that matches, not all
            assert bool(found) == bool(wanted)
            assert merge([*found, *wanted]) == wanted


@settings(max_examples=EXAMPLES, deadline=None)
@given(TERMS, st.lists(TEXTS, min_size=3, max_size=6), st.integers(0, 9))
@example(["- -"], [""], 0)
def test_terms_are_found_where_re_finds_them(
    terms: list[str], texts: list[str], at: int
) -> None:
    rule = make_terms(terms=tuple(terms))
    if check_rule(rule):
        return  # a term of nothing visible
    for text in (*texts, *(text[:at] + terms[0] + text[at:] for text in texts)):
        assert spans(rule, text) == term_spans(terms, text)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"(?:xa|pb)\b", "pb"),
        (r"\b[bc][aw]\b", "ba"),
        ("[а-я]$", "ж"),
        (r"[а-я]\Z", "ж"),
        ("(?m)^[bc]", "\nb"),
        ("(?m)[а-я]$", "ж"),
        (r"\B[xz]!\B", "z!"),
    ],
)
def test_what_ends_with_the_text_is_found_however_long_it_is(
    pattern: str, said: str
) -> None:
    rule = make_pattern(pattern)

    for before in (". " * 9, "a ", "q. ", "保 ", "zz"):
        for count in range(60):
            text = before * count + ("z" if pattern[1] == "B" else " ") + said
            assert spans(rule, text)[-1][1] == len(text), text


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"\bслово\b", "это слово!", ["слово"]),
        (r"\bслово\b", "словоблудие", []),
        (r"\bTesla\b", "我想买Tesla吗", ["Tesla"]),
        (r"\b保证\b", "我们保证你", ["保证"]),
        (r"\b(?:保证|promise)\b", "promised 保证 x", ["保证"]),
        (r"\btesla\b", "_Tesla_", ["Tesla"]),
        (r"\btesla\b", "tesla\u0327", []),
        (r"\b\w+ing\b", "ringing, ink", ["ringing"]),
        (r"\d+", "٣٤", ["٣٤"]),
        (r"\w+", "é\u0327_ß", ["é\u0327_ß"]),
        (r"x[\W\d]+", "x保 xé x-1", ["x-1"]),
        ("x[aß]y", "xssy xay xsy", ["xssy", "xay"]),
        ("[\u4e00-\u9fff]+保", "我们保证", ["我们保"]),
        (r"[а-я]+", "ЖУК", ["ЖУК"]),
        (r"(?m)^b$", "a\nb\nc", ["b"]),
        (r"(?s)a.b", "a\nb", ["a\nb"]),
        ("poem|poems", "poems", ["poems"]),
        ("a.*?b", "a b b", ["a b b"]),
    ],
)
def test_places_in_every_script(pattern: str, text: str, found: list[str]) -> None:
    rule = make_pattern(pattern)

    assert [text[start:end] for start, end in spans(rule, text)] == found
