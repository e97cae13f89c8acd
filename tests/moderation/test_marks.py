"""Texts as the pages show them. Pure."""

import time

import pytest

from controlplane.visible import visible
from moderation import marks
from moderation.marks import changes, excerpt, marked


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<b> & \n\t", "&lt;b&gt; &amp; \n\t"),
        (
            "a\u202eb",
            'a<span class="unseen" title="right-to-left override">U+202E</span>b',
        ),
        ("\x00", '<span class="unseen" title="control character">U+0000</span>'),
        ("", ""),
    ],
)
def test_what_cannot_be_seen_is_shown(text: str, html: str) -> None:
    assert visible(text) == html


@pytest.mark.parametrize(
    ("spans", "html"),
    [
        ([], "give 25 % 😀 off"),
        ([(5, 9, "A")], 'give <mark title="A">25 %</mark> 😀 off'),
        ([(10, 11, "A")], 'give 25 % <mark title="A">😀</mark> off'),
        ([(5, 9, "A"), (7, 11, "B")], 'give <mark title="A; B">25 % 😀</mark> off'),
        (
            [(5, 9, "B"), (0, 4, "A")],
            '<mark title="A">give</mark> <mark title="B">25 %</mark> 😀 off',
        ),
        ([(5, 9, "A"), (5, 9, "A")], 'give <mark title="A">25 %</mark> 😀 off'),
        ([(12, 99, '"<')], 'give 25 % 😀 <mark title="&quot;&lt;">off</mark>'),
        ([(-4, 4, "A")], '<mark title="A">give</mark> 25 % 😀 off'),
        ([(9, 5, "A"), (99, 100, "B")], "give 25 % 😀 off"),
    ],
)
def test_spans_are_marked_by_code_points(spans: list[marks.Span], html: str) -> None:
    assert marked("give 25 % 😀 off", spans) == html


def test_an_excerpt_is_cut_around_its_first_span() -> None:
    text = "x " * 300 + "25 % off" + " y" * 300

    html = excerpt(text, [(600, 608, "A")])

    assert html.startswith("… x x")
    assert html.endswith("y y …")
    assert '<mark title="A">25 % off</mark>' in html


def test_a_short_text_is_its_own_excerpt() -> None:
    assert excerpt("25 % off", []) == "25 % off"


@pytest.mark.parametrize(
    ("before", "after", "html"),
    [
        ("I give 25 %", "I give 4 %", "I give <del>25</del><ins>4</ins> %"),
        ("one two", "one", "one<del> two</del>"),
        ("one", "one <b>", "one<ins> &lt;b&gt;</ins>"),
        ("same", "same", "same"),
    ],
)
def test_changes_are_shown_word_by_word(before: str, after: str, html: str) -> None:
    assert changes(before, after) == html


def test_long_texts_of_the_same_words_are_compared_roughly_and_at_once() -> None:
    started = time.monotonic()

    html = changes("same start " + "word " * 1_500, "same start " + "other word " * 700)

    assert html.startswith("same start <del>word")
    assert time.monotonic() - started < 1
