"""Judges texts by two rule-sets, each text scored once for both."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from agents.agent import Scorer
from agents.checking import check, needs_scores
from guardrails.backtest import Text
from guardrails.context import AnyScore, judge_score, topic_score
from guardrails.engine import Engine, compile_rules
from guardrails.rules import Rule, RuleSet, decode_rule_set
from guardrails.verdicts import Verdict

AT_ONCE = 8  # texts at the scorers: live traffic is to find room there

Pair = tuple[Verdict, Verdict]
Work = Callable[[Scorer], Coroutine[Any, Any, list[Pair]]]


class Sides:
    """Two rule-sets, ready to judge.

    A rule that is told by its id in both and reads another score in each has another name at the scorers.
    """

    def __init__(self, live: Engine, draft: Engine) -> None:
        self.live = live
        self.draft = draft
        before = {rule.id: _asked(rule) for rule in live.rules}
        others = [r for r in draft.rules if before.get(r.id, _asked(r)) != _asked(r)]
        fresh = [rule for rule in draft.rules if rule.id not in before]
        renamed = [(r, msgspec.structs.replace(r, id=f"{r.id} draft")) for r in others]
        self.rules = (*live.rules, *fresh, *(new for _, new in renamed))
        self.names = {
            score(old.id): score(new.id)
            for old, new in renamed
            for score in (topic_score, judge_score)
        }

    def needs_scores(self, text: Text) -> bool:
        return any(needs_scores(each, text.about) for each in (self.live, self.draft))

    def judge(self, text: Text) -> Pair:
        """Of a text that needs no scores."""
        return (
            self.live.check(text.text, text.about),
            self.draft.check(text.text, text.about),
        )

    def judging(self, texts: Sequence[Text]) -> Work:
        """Return what judges texts at the scorers."""

        async def judge_all(scorer: Scorer) -> list[Pair]:
            room = asyncio.Semaphore(AT_ONCE)

            async def judge(text: Text) -> Pair:
                async with room:
                    return await self._judge(scorer, text)

            return await asyncio.gather(*map(judge, texts))

        return judge_all

    async def _judge(self, scorer: Scorer, text: Text) -> Pair:
        asked = _Asked(scorer, self, text)
        live = await check(self.live, asked.by({}), text.text, text.about)
        draft = await check(self.draft, asked.by(self.names), text.text, text.about)
        return live, draft


class _Asked:
    """What scorers said of one text, as each side shows it to them: the same, unless they redact differently."""

    def __init__(self, scorer: Scorer, sides: Sides, text: Text) -> None:
        self._scorer = scorer
        self._rules = sides.rules
        about = text.about
        place = (about.direction, about.tier, about.workflow)
        theirs = {sides.names.get(n, n) for n in sides.draft.needs(*place)}
        self._names = sides.live.needs(*place) | theirs
        self._known: dict[str, Mapping[str, AnyScore]] = {}

    def by(self, names: Mapping[str, str]) -> "_Side":
        return _Side(self, names)

    async def scores(self, shown: str) -> Mapping[str, AnyScore]:
        if shown not in self._known:
            found = await self._scorer.scores(shown, self._names, self._rules)
            self._known[shown] = found
        return self._known[shown]


class _Side:
    """The scorer that one of the two sides sees."""

    def __init__(self, asked: _Asked, names: Mapping[str, str]) -> None:
        self._asked = asked
        self._names = names

    async def scores(
        self, text: str, names: Iterable[str], rules: Sequence[Rule]
    ) -> Mapping[str, AnyScore]:
        del rules  # those of both sides are asked for at once
        found = await self._asked.scores(text)
        return {name: found[self._names.get(name, name)] for name in names}


def _asked(rule: Rule) -> tuple[object, ...]:
    """What its own score hangs on."""
    if rule.kind == "topic":
        return rule.kind, rule.examples, rule.counter_examples
    return (rule.kind, rule.instruction) if rule.kind == "judge" else ()


@lru_cache(maxsize=2)
def sides_of(live: bytes, draft: bytes) -> Sides:
    """Compile two rule-sets, once for all who work on them. msgspec.MsgspecError if one cannot be read."""
    before = decode_rule_set(live) if live else RuleSet(())
    return Sides(compile_rules(before), compile_rules(decode_rule_set(draft)))
