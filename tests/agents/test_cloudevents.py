import re
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.cloudevents import (
    NAMESPACE,
    Envelope,
    HeaderError,
    decode_headers,
    derive_id,
    encode_headers,
    ingress_id,
    now,
    parse_traceparent,
    trace_id_of,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NAMES = TEXT.filter(bool)
TRACES = st.text("0123456789abcdef", min_size=32, max_size=32).filter(
    lambda t: t != "0" * 32
)


@given(
    envelope=st.builds(
        Envelope,
        id=NAMES,
        type=NAMES,
        source=NAMES,
        trace_id=TRACES,
        subject=TEXT,
        time=NAMES,
        workflow=TEXT,
        tier=TEXT,
        parents=st.lists(NAMES, max_size=3).map(tuple),
        linked_trace=TEXT,
    )
)
def test_what_is_encoded_is_read_back(envelope: Envelope) -> None:
    assert decode_headers(encode_headers(envelope)) == envelope


def test_an_event_without_a_time_is_given_the_present_one() -> None:
    before = now()
    read = decode_headers(
        encode_headers(Envelope(id="1", type="t", source="s", trace_id="a" * 32))
    )

    assert before <= read.time <= now()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", read.time)


@given(parent=NAMES, agent=NAMES, port=NAMES, number=st.integers(0, 99))
def test_a_derived_id_is_the_same_every_time(
    parent: str, agent: str, port: str, number: int
) -> None:
    derived = derive_id(parent, agent, port, number)

    assert derived == derive_id(parent, agent, port, number)
    name = f"{parent}\n{agent}\n{port}\n{number}"
    assert derived == str(uuid.uuid5(NAMESPACE, name))
    assert uuid.UUID(derived).version == 5
    assert derived != derive_id(parent, agent, port, number + 1)


def test_a_derived_id_differs_by_each_of_its_parts() -> None:
    variants = [("p", "a", "o"), ("q", "a", "o"), ("p", "b", "o"), ("p", "a", "q")]

    assert len({derive_id(*parts, 0) for parts in variants}) == len(variants)


def test_an_ingress_id_is_one_per_message_of_a_conversation() -> None:
    assert ingress_id("c", "1") == ingress_id("c", "1")
    assert len({ingress_id("c", "1"), ingress_id("c", "2"), ingress_id("d", "1")}) == 3
    assert trace_id_of(ingress_id("c", "1")) == trace_id_of(ingress_id("c", "1"))


@pytest.mark.parametrize("missing", ["ce_id", "ce_type", "ce_source"])
def test_a_header_that_is_missing_or_empty_is_named(missing: str) -> None:
    headers: dict[str, Any] = {"ce_id": b"1", "ce_type": b"t", "ce_source": b"s"}

    broken: list[tuple[str, Any]]
    for broken in (
        [(name, value) for name, value in headers.items() if name != missing],
        [(name, b"" if name == missing else value) for name, value in headers.items()],
        [(name, None if name == missing else value) for name, value in headers.items()],
    ):
        with pytest.raises(HeaderError, match=missing):
            decode_headers(broken)


def test_a_record_without_headers_is_none_of_ours() -> None:
    with pytest.raises(HeaderError, match="ce_id"):
        decode_headers(None)


def test_a_header_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(HeaderError, match="UTF-8"):
        decode_headers([("ce_id", b"1"), ("ce_type", b"t"), ("ce_source", b"\xff\xfe")])


@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                ["ce_id", "ce_type", "ce_source", "traceparent", "ilk_parent", "x"]
            ),
            st.none() | st.binary(max_size=60),
        )
    )
)
def test_headers_of_any_kind_are_read_or_refused(headers: list[Any]) -> None:
    try:
        envelope = decode_headers(headers)
    except HeaderError:
        return

    assert re.fullmatch("[0-9a-f]{32}", envelope.trace_id)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00-" + "0" * 32 + "-" + "b" * 16 + "-01",  # no trace
        "00-" + "A" * 32 + "-" + "b" * 16 + "-01",  # upper case
        "00-" + "a" * 31 + "-" + "b" * 16 + "-01",
        "00-" + "a" * 32 + "-" + "b" * 16 + "-01\n",
        "01-" + "a" * 32 + "-" + "b" * 16 + "-01",
        "00-" + "\N{ARABIC-INDIC DIGIT ONE}" * 32 + "-" + "b" * 16 + "-01",
    ],
)
def test_a_traceparent_that_is_not_valid_gives_no_trace(value: str) -> None:
    assert parse_traceparent(value) == ""


def test_an_event_without_a_trace_gets_the_one_of_its_id() -> None:
    headers = [("ce_id", b"7"), ("ce_type", b"t"), ("ce_source", b"s")]

    assert decode_headers(headers).trace_id == trace_id_of("7")
    assert decode_headers(
        [*headers, ("traceparent", b"nonsense")]
    ).trace_id == trace_id_of("7")


def test_a_trace_that_comes_with_an_event_stays() -> None:
    traceparent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"

    assert parse_traceparent(traceparent) == "a" * 32
