"""What a guard does with very long texts, and with more texts to score than models can take at once."""

from collections.abc import Iterator
from uuid import uuid4

import msgspec
import pytest

from guardrails.verdicts import Verdict
from tests.e2e.outside import Outside
from tests.e2e.pairs import TEXT
from tests.e2e.product import Product
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(120)

FREE, PRO = 200, 40
WITHOUT_WAIT_S = 1.0
DELAY_MS = 2_000  # of each answer of the model that scores
JUDGED_WITHIN_S = 5.0
RUDE = "These are rude words."
VERDICTS = """
SELECT said.tier, extract(epoch FROM said.at)::float, extract(epoch FROM judged.at)::float, judged.value
FROM traces_record said JOIN LATERAL (
  SELECT r.at, p.value FROM traces_record r
  JOIN traces_payload p USING (topic, partition, "offset", at)
  WHERE r.trace_id = said.trace_id AND r.agent = 'input-guard'
) judged ON true
WHERE said.topic = 'user.messages.raw' AND said.conversation_id LIKE %s
"""
LATEST = "SELECT rule_set_id FROM guardrails_publication ORDER BY id DESC LIMIT 1"
PUBLISH = f"""
from tests.e2e import publisher
from guardrails.rules import Rule, RuleSet
scored = Rule(id="rude", name="Rude", direction="input", kind="score", action="escalate",
    team="general", score="toxicity", limit=0.7, tiers=("free",),
    must_hit=({RUDE!r},), must_pass=("Hello.",))
publisher.publish(RuleSet((scored,)))
"""


class Said(msgspec.Struct, frozen=True):
    """A message of which the guard has come to a verdict."""

    tier: str
    at_s: float
    judged_at_s: float
    verdict: Verdict

    @property
    def took_s(self) -> float:
        return self.judged_at_s - self.at_s


class _Judged(msgspec.Struct):
    verdict: Verdict


def said(product: Product, marker: str, count: int) -> list[Said]:
    """Return what was said in the marked conversations, as soon as all of it is judged."""
    rows = wait_for(
        lambda: (
            found if len(found := product.sql(VERDICTS, f"{marker} %")) >= count else []
        ),
        timeout_s=60,
        what=f"{count} verdicts",
    )
    return [
        Said(tier, at_s, until_s, msgspec.json.decode(value, type=_Judged).verdict)
        for tier, at_s, until_s, value in rows
    ]


@pytest.fixture
def scored(product: Product) -> Iterator[None]:
    """Only what the free tier says needs a score."""
    [(before,)] = product.sql(LATEST)
    product.script(match=RUDE, endpoint="moderations", scores={"toxicity": 0.9})
    product.python(PUBLISH)
    [(wanted,)] = product.sql(LATEST)
    wait_for(
        lambda: product.sql(
            "SELECT 1 FROM runtime_heartbeat WHERE ruleset_hash = %s", wanted
        )
    )
    yield
    product.python(f"from tests.e2e import publisher; publisher.restore({before!r})")


@pytest.mark.usefixtures("scored")
def test_what_needs_no_score_waits_for_none_though_hundreds_do(
    product: Product,
) -> None:
    marker = uuid4().hex
    question = f"{TEXT} {marker}"
    product.script(match=marker, reply="Yes.")
    product.script(match=marker, endpoint="moderations", delay_ms=DELAY_MS)
    outside = Outside(product, marker)

    for number in range(FREE):
        outside.say(question, conversation=number, number=0, tier="free")
    for number in range(FREE, FREE + PRO):
        outside.say(question, conversation=number, number=0, tier="pro")
    outside.flush()

    found = said(product, marker, FREE + PRO)
    free = [each for each in found if each.tier == "free"]
    pro = [each for each in found if each.tier == "pro"]
    assert (len(free), len(pro)) == (FREE, PRO)
    assert min(each.took_s for each in free) > DELAY_MS / 1000
    assert max(each.took_s for each in pro) < WITHOUT_WAIT_S
    assert {each.verdict.action for each in found} == {"allow"}


@pytest.mark.parametrize(
    ("unit", "action"),
    [
        ("a@b.cc ", "escalate"),
        ("4111 1111 1111 1111 ", "escalate"),
        ("tesla ", "escalate"),
        ("保", "allow"),
    ],
)
def test_a_message_of_100_kb_is_judged_in_its_time_or_held(
    product: Product, unit: str, action: str
) -> None:
    """By the dealer's rules. Of what has too many sentences there is no score, so it is held."""
    marker = uuid4().hex
    text = unit * (100_000 // len(unit.encode()))
    product.script(match=unit * 20, reply="Yes.")
    outside = Outside(product, marker)

    outside.say(text, conversation=0, number=0, tier="free")
    outside.flush()

    [only] = said(product, marker, 1)
    assert only.took_s < JUDGED_WITHIN_S
    assert only.verdict.action == action
    assert bool(only.verdict.error) is (action == "escalate")
