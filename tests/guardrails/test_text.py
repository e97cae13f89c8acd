import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.alphabet import Alphabet, CharSet
from guardrails.text import normalise, views

ANY_TEXT = st.text(st.characters(codec=None)) | st.text(
    "aßﬁЖ\u03bdée\u0301\u200b½İ€가\u1100\u1161 %"
)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Straße", "strasse"),
        ("of\ufb01ce", "office"),
        ("\u0440\u043ers\u0441he", "porsche"),  # Cyrillic letters
        ("\u0391UD\u0399", "audi"),  # Greek letters
        ("te\u200bs\u00adla", "tesla"),
        ("\uff22\uff2d\uff37", "bmw"),
        ("e\u0301", "é"),
        ("I\u2019m", "i'm"),
        ("", ""),
    ],
)
def test_spellings_become_one(written: str, read: str) -> None:
    assert normalise(written).text == read


def test_a_place_in_an_expansion_is_the_letter_it_came_from() -> None:
    normal = normalise("Straße")

    assert normal.span(4, 5) == normal.span(5, 6) == (4, 5)


def test_a_place_holds_the_marks_and_the_invisible_inside_of_it() -> None:
    text = "\u200bte\u0301\u200bs"
    start = normalise(text).text.index("é")

    assert normalise(text).span(start, start + 2) == (2, 6)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_empty_place_stays_empty(at: int) -> None:
    assert normalise("ab").span(at, at) == (at, at)


def test_an_empty_text_has_one_empty_place() -> None:
    assert normalise("\u200b").span(0, 0) == (0, 0)


def test_look_alikes_give_a_second_view() -> None:
    assert [view.text for view in views("\u041d\u043e")] == ["ho", "\u043d\u043e"]
    assert len(views("Größe für 5 €")) == len(views("plain")) == 1


def test_many_marks_take_no_square_of_time() -> None:
    assert len(normalise("a" + "\u0301\u0316" * 50_000).text) > 90_000


@given(ANY_TEXT)
def test_every_place_lies_in_the_original_and_in_order(text: str) -> None:
    for view in (*views(text), normalise(text)):
        assert len(view.text) == len(view.starts) == len(view.ends)
        assert all(
            0 <= a < b <= len(text) for a, b in zip(view.starts, view.ends, strict=True)
        )
        assert list(view.starts) == sorted(view.starts)
        assert list(view.ends) == sorted(view.ends)


@given(ANY_TEXT)
def test_what_stands_at_a_place_is_what_was_read_there(text: str) -> None:
    for view, alike in ((normalise(text), True), (views(text)[-1], False)):
        for at, char in enumerate(view.text):
            start, end = view.span(at, at + 1)
            assert char in normalise(text[start:end], look_alikes=alike).text


@given(ANY_TEXT)
def test_the_short_way_reads_what_the_long_way_reads(text: str) -> None:
    """Something invisible at the end sends the text the long way."""
    assert normalise(text + ".").text == normalise(text + ".\u200b").text


@given(ANY_TEXT)
def test_the_first_view_is_the_normal_form(text: str) -> None:
    assert views(text)[0].text == normalise(text).text


@given(ANY_TEXT)
def test_what_is_visible_and_common_is_nfkc_and_folded(text: str) -> None:
    view = normalise(text).text

    assert all(unicodedata.is_normalized("NFKC", char) for char in view)


@given(ANY_TEXT)
def test_a_form_that_is_read_character_by_character_is_the_folded_one(
    text: str,
) -> None:
    alphabet = Alphabet([CharSet(((code, code),)) for code in (0xE9, 0x436, 0xF8)])
    for view in views(text):
        if view.composed:
            encoded = alphabet.encode_composed(view.composed)
            assert encoded == alphabet.encode(normalise(text).text)
        assert view.text in {
            normalise(text).text,
            normalise(text, look_alikes=False).text,
        }
