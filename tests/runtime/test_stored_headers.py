"""Headers of any bytes go through the outbox unchanged."""

import json

from hypothesis import given
from hypothesis import strategies as st

from controlplane.runtime.headers import headers_of, stored_headers


@given(st.lists(st.tuples(st.sampled_from(["a", "ce_id", "ü"]), st.binary())))
def test_they_come_out_as_they_went_in(headers: list[tuple[str, bytes]]) -> None:
    stored = json.dumps(stored_headers(headers))

    assert "\\u0000" not in stored  # PostgreSQL refuses it in JSON
    assert headers_of(json.loads(stored)) == headers


def test_text_stays_readable() -> None:
    assert stored_headers([("a", "ü".encode()), ("b", b"\x00"), ("c", b"\xff")]) == [
        ("a", "ü"),
        ("b", {"base64": "AA=="}),
        ("c", {"base64": "/w=="}),
    ]
