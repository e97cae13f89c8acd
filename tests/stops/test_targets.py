"""A stop is about something that there is."""

import pytest

from controlplane.stops.targets import names_of, refusal


@pytest.mark.parametrize(
    ("mode", "scope", "value"),
    [
        ("hard", "everything", ""),
        ("soft", "workflow", "chat"),
        ("hard", "agent", "responder"),
        ("soft", "tier", "enterprise"),
        ("hard", "conversation", "c_1"),
        ("hard", "conversation", "ü" * 100),
    ],
)
def test_what_is_there_can_be_stopped(mode: str, scope: str, value: str) -> None:
    assert refusal(mode=mode, scope=scope, value=value) is None


@pytest.mark.parametrize(
    ("mode", "scope", "value", "field"),
    [
        ("hard", "everything", "x", "value"),
        ("soft", "conversation", "c_1", "scope"),
        ("hard", "conversation", "", "value"),
        ("hard", "conversation", "c" * 101, "value"),
        ("hard", "conversation", "c\x00", "value"),
        ("hard", "tier", "platinum", "value"),
        ("hard", "tier", "", "value"),
        ("soft", "workflow", "platform", "value"),
        ("soft", "agent", "gate", "value"),
    ],
)
def test_what_would_stop_nothing_is_refused(
    mode: str, scope: str, value: str, field: str
) -> None:
    found = refusal(mode=mode, scope=scope, value=value)

    assert found is not None
    assert found[0] == field


def test_a_refusal_names_what_there_is() -> None:
    found = refusal(mode="hard", scope="tier", value="gold")

    assert found == ("value", "must be one of free, pro, enterprise, background")
    assert "output-guard" in names_of("agent")
    assert "gate" not in names_of("agent")
