"""Chooses the sentence of the shown knowledge that answers a question, or admits there is none."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from controlplane.embedded.model_server.knowledge import (
    Knowledge,
    Sentence,
    read_knowledge,
)
from controlplane.embedded.model_server.words import fold, names, terms

UNKNOWN = "I am sorry, I do not know that. Shall I ask a colleague to get back to you?"
WELCOME = "Hello, what would you like to know?"
THANKS = "You are welcome."

GOOD_ENOUGH = 0.6
"""The share of what was asked, by weight, that a sentence has to be about."""
CLEAR = 0.75
MOST_SURE_WHEN_UNKNOWN = 0.3
NAME_WEIGHT = 2.0
INHERITED_SHARE = 0.5
MENTIONED_SHARE = 0.1
HEADING_BONUS = 0.05
SETTING_WEIGHT = 0.1
UNSEEN = 0.25
"""How often a word counts as found that is nowhere in the knowledge."""
HEADING_SHARE = 0.6
CONCISE_BONUS = 0.15

_FOLLOW_UP = re.compile(
    r"^\W*(?:and|but|or|also|what about|how about)\b"
    r"|\b(?:it|its|it's|that|this|they|them|their|these|those|one|there)\b"
)
_PARTS = re.compile(
    r"[?;]|,? and (?=(?:when|what|where|how|who|which|do|does|is|are|can)\b)"
)
_GREETING = re.compile(
    r"^\W*(?:hello|hi|hey|good (?:morning|day|afternoon|evening))\b\W*$"
)
_GRATITUDE = re.compile(r"^\W*(?:many )?(?:thanks|thank you)\b[^?]*$")


@dataclass(frozen=True)
class Turn:
    """What was asked before, and what was answered to it."""

    question: str
    answer: str


@dataclass(frozen=True)
class Answer:
    text: str
    confidence: float

    @property
    def is_known(self) -> bool:
        return self.confidence >= GOOD_ENOUGH


Asked = dict[str, float]
"""The terms of a question, each with its weight."""


def answer(question: str, *, shown: str, earlier: Sequence[Turn] = ()) -> Answer:
    """Answer from the shown text alone; `earlier` says what a follow-up refers to."""
    small_talk = _small_talk(question)
    if small_talk:
        return Answer(small_talk, 1.0)
    knowledge = read_knowledge(shown)
    whole = _best(question, knowledge, earlier)
    if whole.confidence >= CLEAR:
        return whole
    return _by_parts(question, knowledge, earlier) or whole


def _small_talk(question: str) -> str:
    folded = fold(question)
    if _GREETING.match(folded):
        return WELCOME
    return THANKS if _GRATITUDE.match(folded) else ""


def _by_parts(
    question: str, knowledge: Knowledge, earlier: Sequence[Turn]
) -> Answer | None:
    """Answer a question that asks several things, if each of them is known."""
    answers: list[Answer] = []
    turns = list(earlier)
    parts = [part for part in _PARTS.split(question) if terms(part)]
    for part in parts:
        answers.append(_best(part, knowledge, turns))
        turns.append(Turn(part, answers[-1].text))
    if len(parts) < 2 or not all(each.is_known for each in answers):  # noqa: PLR2004
        return None
    texts = dict.fromkeys(each.text for each in answers)
    return Answer(" ".join(texts), min(each.confidence for each in answers))


def _best(question: str, knowledge: Knowledge, earlier: Sequence[Turn]) -> Answer:
    before = earlier[-1] if earlier and _FOLLOW_UP.search(fold(question)) else None
    asked = _weigh(question, knowledge, before)
    ranked = [
        (_fit(each, asked), each)
        for each in knowledge.sentences
        if before is None or each.text != before.answer
    ]
    if not asked or not ranked:
        return Answer(UNKNOWN, 0.0)
    (_, coverage), best = max(ranked, key=lambda pair: pair[0])
    if coverage < GOOD_ENOUGH:
        return Answer(UNKNOWN, round(min(coverage, MOST_SURE_WHEN_UNKNOWN), 2))
    return Answer(best.text, round(coverage, 2))


def _fit(sentence: Sentence, asked: Asked) -> tuple[float, float]:
    """Rank a sentence, and give the share of the question that it is about."""
    about, under = asked.keys() & sentence.terms, asked.keys() & sentence.heading
    covered = sum(asked[term] for term in about)
    covered += HEADING_SHARE * sum(asked[term] for term in under - about)
    coverage = covered / (sum(asked.values()) or 1.0)
    concise = CONCISE_BONUS * len(about) / (len(sentence.terms) or 1)
    return coverage + concise + HEADING_BONUS * len(under) / (len(asked) or 1), coverage


def _weigh(question: str, knowledge: Knowledge, before: Turn | None) -> Asked:
    """Weigh the terms of a question; what a follow-up hangs on weighs less than its own."""
    own, named = terms(question), _named(question, knowledge)
    asked = {term: _weight(term, named, knowledge) for term in sorted(own)}
    if before is None:
        return asked
    limit = sum(asked.values()) or 1.0
    meant = _inherit(own & named, knowledge, before) - own
    mentioned = terms(before.answer) - terms(before.question) - meant - own
    asked |= _shared(mentioned, MENTIONED_SHARE * limit)
    return asked | _shared(meant, INHERITED_SHARE * limit)


def _shared(inherited: frozenset[str], weight: float) -> Asked:
    return dict.fromkeys(sorted(inherited), weight / (len(inherited) or 1))


def _weight(term: str, named: frozenset[str], knowledge: Knowledge) -> float:
    if term in knowledge.setting:
        return SETTING_WEIGHT
    return _rarity(term, knowledge) * (NAME_WEIGHT if term in named else 1.0)


def _rarity(term: str, knowledge: Knowledge) -> float:
    found = sum(term in each.terms for each in knowledge.sentences)
    return math.log(1 + len(knowledge.sentences) / (found or UNSEEN))


def _named(text: str, knowledge: Knowledge) -> frozenset[str]:
    return names(text) | (terms(text) & knowledge.names)


def _inherit(
    own_names: frozenset[str], knowledge: Knowledge, before: Turn
) -> frozenset[str]:
    """Give what a follow-up leaves unsaid: the subject, or what was asked about it."""
    if own_names:
        return terms(before.question) - _named(before.question, knowledge)
    subject = _named(before.question, knowledge) - knowledge.setting
    return subject or (_named(before.answer, knowledge) - knowledge.setting)
