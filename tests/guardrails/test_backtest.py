"""Two rule-sets on the same texts: what is new, what is lost, what ends otherwise, and for whom that is work."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails import backtest
from guardrails.backtest import Comparison, Origin, Tally, Text
from guardrails.engine import Engine, compile_rules
from guardrails.rules import Rule
from guardrails.verdicts import Verdict
from tests.guardrails.factories import make_expression, make_set, make_terms

START = datetime(2026, 11, 21, 14, tzinfo=UTC)


def make_text(text: str, number: int = 0, **fields: Any) -> Text:
    """number: of the minute."""
    given: dict[str, Any] = {"direction": "output", "tier": "free", "workflow": "chat"}
    origin = Origin("t", 0, number, START + timedelta(minutes=number))
    return Text(text=text, trace_id=f"{number:032x}", origin=origin, **(given | fields))


def compare(live: list[Rule], draft: list[Rule], *texts: Text) -> Comparison:
    engines = [compile_rules(make_set(*rules)) for rules in (live, draft)]
    return count(engines, texts)


def count(engines: list[Engine], texts: tuple[Text, ...]) -> Comparison:
    found = Comparison()
    for text in texts:
        verdicts = [engine.check(text.text, text.about) for engine in engines]
        found.add(text, *verdicts)
    return found


HOLD = {"action": "escalate", "reply": ""}


def test_what_is_new_lost_and_otherwise_is_told_apart() -> None:
    tesla, lada = make_terms(), make_terms(id="lada", name="Lada", terms=("lada",))
    live = [tesla, lada, make_terms(id="gone", name="Gone", terms=("volvo",))]
    draft = [
        make_terms(terms=("tesla", "bmw")),
        make_terms(id="lada", name="Lada", terms=("lada",), team="legal", **HOLD),
    ]

    found = compare(
        live, draft, *map(make_text, ("A Tesla", "A BMW", "A Lada", "A Volvo", "Hi"))
    )

    assert found.rules["brands"].whole == Tally(live=1, draft=2, new=1)
    assert found.rules["lada"].whole == Tally(live=1, draft=1, changed=1)
    assert found.rules["gone"].whole == Tally(live=1, lost=1)
    assert found.moves == {
        "allow": {"replace": 1},
        "replace": {"escalate to legal": 1, "allow": 1},
    }
    changes = {(sample.rule, sample.change) for sample in found.samples}
    assert changes == {("brands", "new"), ("lada", "changed"), ("gone", "lost")}


def test_what_only_watches_is_counted_apart() -> None:
    watching = make_terms(mode="shadow")

    found = compare([watching], [make_terms()], make_text("A Tesla"))
    back = compare([make_terms()], [watching], make_text("A Tesla"))

    assert found.rules["brands"].whole == Tally(draft=1, changed=1, live_shadow=1)
    assert back.rules["brands"].whole == Tally(live=1, changed=1, draft_shadow=1)
    assert compare([], [watching], make_text("A Tesla")).samples == []


def test_teams_get_what_is_held_for_them_and_so_much_an_hour() -> None:
    held = make_terms(team="legal", **HOLD)
    texts = [make_text("A Tesla", minute) for minute in range(31)]

    found = compare([], [held], *texts)

    assert found.teams["legal"].draft == 31
    assert found.teams["legal"].live == 0
    assert found.per_hour(31) == 62
    assert found.total("newly_held") == 31
    assert compare([], [held], *texts[:1]).per_hour(1) is None


def test_tiers_and_workflows_are_counted_apart() -> None:
    texts = [make_text("A Tesla", tier="pro"), make_text("A Tesla"), make_text("Hi")]

    found = compare([], [make_terms(tiers=("pro",))], *texts)

    assert {key: place.moved for key, place in found.places.items()} == {
        "output/pro/chat": 1,
        "output/free/chat": 0,
    }
    assert found.places["output/free/chat"].texts == 2
    assert list(found.rules["brands"].places) == ["output/pro/chat"]


def test_places_that_anybody_could_name_stay_few() -> None:
    texts = [make_text("Hi", workflow=f"w{number}") for number in range(100)]

    found = compare([], [], *texts)

    assert len(found.places) == backtest.MAX_PLACES + 1
    assert found.total("texts") == 100


def test_what_cannot_be_checked_is_held_and_said() -> None:
    broken = make_expression("score('toxicity') > 0.5")

    found = compare([], [broken], make_text("Hi"), make_text("Ho"))

    assert (found.live_unchecked, found.draft_unchecked) == (0, 2)
    assert sum(found.errors.values()) == 2
    assert found.teams["general"].draft == 2
    assert {sample.change for sample in found.samples} == {"outcome"}


def test_samples_are_few_and_hold_no_text() -> None:
    rules = [
        make_terms(id=f"r{number}", name=f"R{number}", terms=("tesla",))
        for number in range(60)
    ]
    texts = [make_text("My secret Tesla", number) for number in range(20)]

    found = compare([], rules, *texts)
    few = compare([], rules[:2], *texts)

    assert len(found.samples) == backtest.MAX_SAMPLES
    per_rule = Counter(sample.rule for sample in few.samples)
    assert per_rule == dict.fromkeys(("r0", "r1"), backtest.MAX_SAMPLES_OF_A_CHANGE)
    assert found.samples[0].spans == [(10, 15)]
    assert b"ecret" not in msgspec.json.encode(found)


WORDS = ("tesla", "bmw", "lada", "hello")
rule_of = st.builds(
    make_terms,
    id=st.sampled_from(("a", "b", "c")),
    terms=st.sets(st.sampled_from(WORDS[:3]), min_size=1).map(tuple),
    mode=st.sampled_from(("enforce", "shadow", "off", "draft")),
    action=st.sampled_from(("tag", "replace")),
    tiers=st.sampled_from(((), ("pro",))),
)
rules_of = st.lists(rule_of, max_size=3, unique_by=lambda rule: rule.id)
text_of = st.builds(
    make_text,
    st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join),
    st.integers(0, 500),
    tier=st.sampled_from(("free", "pro")),
)


@settings(max_examples=60, deadline=None)
@given(rules_of, rules_of, st.lists(text_of, max_size=8), st.integers(0, 8))
def test_the_result_is_a_plain_count_over_both_verdicts(
    live: list[Rule], draft: list[Rule], texts: list[Text], cut: int
) -> None:
    """Also when it was put away in between, as a worker does that leaves it to another."""
    engines = [compile_rules(make_set(*rules)) for rules in (live, draft)]
    found = count(engines, tuple(texts[:cut]))
    found = msgspec.json.decode(msgspec.json.encode(found), type=Comparison)
    for text in texts[cut:]:
        found.add(text, *(engine.check(text.text, text.about) for engine in engines))
    pairs = [
        tuple(engine.check(text.text, text.about) for engine in engines)
        for text in texts
    ]

    assert found.texts == len(texts)
    assert found.total("moved") == sum(a.action != b.action for a, b in pairs)
    for rule in {each.id for each in (*live, *draft)}:
        hits = [(_hits(a, rule), _hits(b, rule)) for a, b in pairs]
        tally = found.rules[rule].whole if rule in found.rules else Tally()
        assert tally.live == sum(a[0] for a, _ in hits)
        assert tally.draft == sum(b[0] for _, b in hits)
        assert tally.draft_shadow == sum(b[1] for _, b in hits)
        assert tally.new == sum(b[0] and not any(a) for a, b in hits)
        assert tally.lost == sum(a[0] and not any(b) for a, b in hits)


def _hits(verdict: Verdict, rule: str) -> tuple[bool, bool]:
    acting = any(finding.rule == rule for finding in verdict.findings)
    return acting, any(finding.rule == rule for finding in verdict.shadow)


def test_without_texts_nothing_is_said_of_an_hour() -> None:
    assert Comparison().per_hour(1) is None


def test_reasons_are_few_however_many_there_are() -> None:
    found = Comparison()
    for number in range(20):
        broken = Verdict(action="escalate", team="general", error=f"broken {number}")
        found.add(make_text("Hi"), Verdict(action="allow"), broken)

    assert len(found.errors) == backtest.MAX_REASONS
    assert found.draft_unchecked == 20


def test_what_no_longer_holds_is_no_work_any_more() -> None:
    held = make_terms(team="legal", **HOLD)

    found = compare([held], [], make_text("A Tesla"))

    assert (found.teams["legal"].live, found.teams["legal"].draft) == (1, 0)
    assert found.total("no_longer_held") == 1
