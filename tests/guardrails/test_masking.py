"""Masking: nothing of what it knows is left, all of it comes back, and only to where it came from."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.masking import Masker, MaskingError, placeholder_in
from guardrails.masking_settings import MaskingSettings
from guardrails.pii.types import TYPES
from tests.guardrails.factories import make_masker
from tests.guardrails.test_pii import VALUES

EVERY = [value for values in VALUES.values() for value in values]
PIECES = st.lists(
    st.one_of(st.text(max_size=12), st.sampled_from(EVERY)), max_size=6
).map(" ".join)


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind in VALUES for value in VALUES[kind]]
)
def test_each_kind_is_hidden_and_comes_back(kind: str, value: str) -> None:
    text = f"It is {value} now."

    masked = make_masker().mask([text], "r1")

    assert value not in masked.texts[0]
    assert TYPES[kind].placeholder[:-1] in masked.texts[0]
    assert masked.restore(masked.texts[0]) == text
    assert make_masker().hide(text) == f"It is {TYPES[kind].placeholder} now."


@settings(deadline=None)
@given(st.lists(PIECES, max_size=3))
def test_what_was_masked_comes_back_and_nothing_is_left_in_it(texts: list[str]) -> None:
    masker = make_masker()

    masked = masker.mask(texts, "r1")

    assert [masked.restore(text) for text in masked.texts] == texts
    assert masker.mask(masked.texts, "r2").texts == masked.texts
    assert [masker.hide(text) for text in masked.texts] == masked.texts


def test_a_value_has_the_same_letters_in_one_request_and_others_in_the_next() -> None:
    said = "My card is 4111 1111 1111 1111."
    masker = make_masker()

    one = masker.mask([said, f"Again: {said}"], "r1").texts
    again = masker.mask([said], "r1").texts
    other = masker.mask([said], "r2").texts

    assert one[1] == f"Again: {one[0]}"
    assert again[0] == one[0] != other[0]
    assert (
        Masker(MaskingSettings(tuple(TYPES), secret=b"other"))
        .mask([said], "r1")
        .texts[0]
        != one[0]
    )


def test_a_placeholder_of_another_request_stays_as_it_is() -> None:
    masker = make_masker()
    other = masker.mask(["My card is 4111 1111 1111 1111."], "r1").texts[0]
    own = masker.mask(["My card is 5555-5555-5555-4444."], "r2")

    assert own.restore(other) == other
    assert placeholder_in(other) in other
    assert placeholder_in(own.restore(own.texts[0])) == ""


@pytest.mark.parametrize(
    "text", ["", "[card]", "[card kxq]", "card kxqzabcd", "[boat kxqzabcd]", "[[]]"]
)
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert placeholder_in(text) == ""


def test_a_model_may_shout() -> None:
    masked = make_masker().mask(["Call +49 711 17-0"], "r1")

    assert masked.restore(masked.texts[0].upper()) == "CALL +49 711 17-0"


def test_only_the_types_that_were_said_are_masked() -> None:
    masker = Masker(MaskingSettings(("email",), secret=b"tests"))

    assert masker.hide("4111111111111111 a@b.example") == "4111111111111111 [e-mail]"


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="shoe size"):
        Masker(MaskingSettings(("shoe size",), secret=b"tests"))


def test_what_takes_too_long_is_told() -> None:
    flood = "+49 711 12345 " * 20_000

    with pytest.raises(MaskingError):
        make_masker().hide(flood)
