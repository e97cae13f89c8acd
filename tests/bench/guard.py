"""The guardrail engine on fresh texts, beside bare hyperscan, a loop of `re` and a named peer, on one core."""

import random
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import hyperscan

from guardrails.context import Context
from guardrails.engine import Engine, compile_rules
from guardrails.rules import Rule, RuleSet
from tests.bench import litellm_peer

TEXTS = 20_000
ROUNDS = 5
PATTERNS, TERMS = 200, 1_000
TERMS_A_RULE = 100
MANY = 5_000
HITTING = 20  # one text in so many says a term of a rule
CONTEXT = Context(direction="input", tier="free", workflow="chat")

_SYLLABLES = [start + vowel for start in "bdfgklmnprstvz" for vowel in "aeiou"]
_ENGLISH = [
    "I",
    "would",
    "like",
    "to",
    "know",
    "how",
    "much",
    "the",
    "new",
    "car",
    "costs",
    "and",
    "whether",
    "you",
    "want",
    "to",
    "give",
    "me",
    "a",
    "price",
    "for",
    "the",
    "winter",
    "tyres",
    "please",
    "tell",
    "me",
    "about",
    "an",
    "order",
    "with",
    "my",
    "account",
    "in",
    "the",
    "city",
    "next",
    "week",
    "because",
    "we",
    "need",
    "it",
    "soon",
    "for",
    "the",
    "family",
    "holiday",
    "how",
    "to",
    "charge",
    "at",
    "home",
    "when",
    "is",
    "the",
    "service",
    "due",
    "can",
    "you",
    "show",
    "us",
    "what",
    "is",
    "in",
    "stock",
    "and",
    "help",
    "with",
    "the",
    "app",
]
_OTHERS = [
    "Größe",
    "für",
    "günstiger",
    "Straße",
    "élève",
    "naïve",
    "façade",
    "señor",
    "mañana",
    "Привет",
    "машина",
    "сколько",
    "стоит",
    "новая",
    "цена",
    "скидка",
    "Καλημέρα",
    "αυτοκίνητο",
    "τιμή",
    "我想买一辆新车",
    "価格はいくら",
    "얼마예요",
    "ราคา",
    "😀",
    "…",
    "“so”",
    "\u2013",
    "100\xa0€",
    "½",
]


class Rules(NamedTuple):
    """The same rules in the forms that the three ways take."""

    patterns: list[str]
    terms: list[str]
    rule_set: RuleSet


class Found(NamedTuple):
    """Texts per second of one thread's computing time."""

    engine: float
    bare: float
    loop: float


def rows() -> Iterator[tuple[str, str, str]]:
    rules = make_rules(PATTERNS, TERMS)
    engine, compile_s, load_s = make_engine(rules)
    yield (
        f"guard: {PATTERNS} patterns and {TERMS:,} terms compiled",
        f"{compile_s:.2f} s of computing",
        f"from the stored form {load_s:.2f} s",
    )
    for length in (300, 1_500):
        texts = make_texts(rules, length=length, count=TEXTS * 300 // length)
        found = compare(rules, texts, engine)
        name = f"guard: ASCII texts of {length:,}"
        yield _row(name, found, _share(engine, texts))
        yield from _peer(rules, texts, length, found)
    texts = make_mixed(rules, length=300)
    yield (
        "guard: texts of 300 in eight scripts",
        f"{per_s(lambda text: engine.check(text, CONTEXT), texts):,.0f} texts/s",
        _latency(engine, texts) + f"; {_share(engine, texts)}",
    )
    many = make_rules(MANY // 5, MANY * 4 // 5, seed=7)
    engine, compile_s, _ = make_engine(many)
    texts = make_texts(many, length=300)
    yield (
        f"guard: {MANY:,} rules' worth, texts of 300",
        f"{per_s(lambda text: engine.check(text, CONTEXT), texts):,.0f} texts/s",
        f"{MANY // 5:,} patterns and {MANY * 4 // 5:,} terms compiled in {compile_s:.2f} s",
    )


def _peer(
    rules: Rules, texts: Sequence[str], length: int, found: Found
) -> Iterator[tuple[str, str, str]]:
    yield from litellm_peer.rows(
        rules.patterns,
        rules.terms,
        _alternations(rules),
        texts=texts,
        length=length,
        ours_per_s=found.engine,
    )


def _row(name: str, found: Found, note: str) -> tuple[str, str, str]:
    bare = f"bare hyperscan {found.bare:,.0f}, ratio {found.engine / found.bare:.2f}"
    loop = f"a loop of `re` {found.loop:,.0f}, ratio {found.engine / found.loop:.0f}"
    return name, f"{found.engine:,.0f} texts/s", f"{bare}; {loop}; {note}"


def _latency(engine: Engine, texts: Sequence[str]) -> str:
    took = latencies(engine, texts)
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    return f"p50 {p50:.0f} µs, p99 {p99:.0f} µs"


def _share(engine: Engine, texts: Sequence[str]) -> str:
    hit = sum(engine.check(text, CONTEXT).action != "allow" for text in texts)
    return f"{hit / len(texts) * 100:.0f} % hit"


def make_rules(patterns: int, terms: int, *, seed: int = 1) -> Rules:
    dice = random.Random(seed)  # noqa: S311 - the same texts in each run
    made = [_pattern(dice, number) for number in range(patterns)]
    words = [_term(dice, number) for number in range(terms)]
    groups = [
        words[at : at + TERMS_A_RULE] for at in range(0, len(words), TERMS_A_RULE)
    ]
    rules = [
        *(_rule(f"p-{at}", "pattern", pattern=each) for at, each in enumerate(made)),
        *(
            _rule(f"t-{at}", "terms", terms=tuple(each))
            for at, each in enumerate(groups)
        ),
    ]
    return Rules(made, words, RuleSet(tuple(rules)))


def make_texts(
    rules: Rules, *, length: int, count: int = TEXTS, seed: int = 2
) -> list[str]:
    """ASCII; one in twenty with a term of the rules in it."""
    dice = random.Random(seed)  # noqa: S311 - the same texts in each run
    vocabulary = [*_ENGLISH * 40, *(_word(dice) for _ in range(3_000))]
    return [_text(dice, vocabulary, rules, length) for _ in range(count)]


def make_mixed(
    rules: Rules, *, length: int, count: int = TEXTS, seed: int = 3
) -> list[str]:
    dice = random.Random(seed)  # noqa: S311 - the same texts in each run
    vocabulary = [*_ENGLISH * 2, *_OTHERS * 3]
    return [_text(dice, vocabulary, rules, length) for _ in range(count)]


def compare(rules: Rules, texts: Sequence[str], engine: Engine) -> Found:
    """Each way takes its turn in each round; the loop, which is slow, only once and on some of the texts."""
    ways: tuple[Callable[[str], object], ...] = (
        lambda text: engine.check(text, CONTEXT),
        _bare(rules),
    )
    rounds = [[per_s(way, texts) for way in ways] for _ in range(ROUNDS)]
    ours, bare = (statistics.median(figures) for figures in zip(*rounds, strict=True))
    return Found(ours, bare, per_s(_loop(rules), texts[: len(texts) // 100]))


def per_s(way: Callable[[str], object], texts: Sequence[str]) -> float:
    """By the computing time of this thread, so that what else runs here counts less."""
    start_ns = time.thread_time_ns()
    for text in texts:
        way(text)
    return len(texts) / (time.thread_time_ns() - start_ns) * 1e9


def latencies(engine: Engine, texts: Sequence[str]) -> list[float]:
    """Of each text in µs, in order."""
    took = []
    for text in texts:
        start_ns = time.thread_time_ns()
        engine.check(text, CONTEXT)
        took.append((time.thread_time_ns() - start_ns) / 1000)
    return sorted(took)


def make_engine(rules: Rules) -> tuple[Engine, float, float]:
    """The engine, the computing time to make it, and to make it of its stored form."""
    start_s = time.thread_time()
    engine = compile_rules(rules.rule_set)
    took_s = time.thread_time() - start_s
    stored = engine.dump()
    start_s = time.thread_time()
    compile_rules(rules.rule_set, stored)
    return engine, took_s, time.thread_time() - start_s


def _bare(rules: Rules) -> Callable[[str], object]:
    """The library alone: the same expressions, every place of every hit, the text as it is."""
    flags = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SOM_LEFTMOST
    written = [*rules.patterns, *(_written(term) for term in rules.terms)]
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[each.encode() for each in written],
        ids=range(len(written)),
        flags=[flags] * len(written),
    )
    found: list[tuple[int, int, int]] = []

    def on_hit(key: int, start: int, end: int, *_: object) -> None:
        found.append((key, start, end))

    def scan(text: str) -> None:
        found.clear()
        database.scan(text.encode(), on_hit)

    return scan


def _loop(rules: Rules) -> Callable[[str], object]:
    """One after the other, as is usual; the terms of a rule as one alternation."""
    written = [*rules.patterns, *_alternations(rules)]
    compiled = [re.compile(each, re.IGNORECASE) for each in written]

    def search(text: str) -> list[tuple[int, int]]:
        return [found.span() for each in compiled for found in each.finditer(text)]

    return search


def _alternations(rules: Rules) -> list[str]:
    every = [rule.terms for rule in rules.rule_set.rules if rule.terms]
    return ["|".join(map(_written, terms)) for terms in every]


def _written(term: str) -> str:
    words = r"[\s\-]+".join(map(re.escape, term.split()))
    return rf"\b{words}\b"


def _rule(name: str, kind: str, **fields: object) -> Rule:
    return Rule(
        id=name,
        name=name,
        direction="input",
        kind=kind,  # type: ignore[arg-type]
        action="block",
        reply="No.",
        **fields,  # type: ignore[arg-type]
    )


def _word(dice: random.Random, syllables: int = 0) -> str:
    return "".join(dice.choices(_SYLLABLES, k=syllables or dice.randint(1, 4)))


def _term(dice: random.Random, number: int) -> str:
    """Two in three are one word; of the others one in four has an everyday word, which many texts have."""
    if number % 3:
        return _word(dice, 4)
    first = _word(dice, 3) if number % 4 else dice.choice(_ENGLISH)
    return f"{first} {_word(dice, 3)}"


def _pattern(dice: random.Random, number: int) -> str:
    one, two, three = (_word(dice, 4) for _ in range(3))
    return (
        rf"\b{one}\s+(?:\w+\s+){{0,3}}{two}\b",
        rf"\b(?:{one}|{two}|{three})(?:ing|ed|s)?\b",
        rf"{one}.{{0,20}}{two}",
        rf"\b{one}\d{{2,6}}\b",
        rf"\b(?:how to|want to)\s+(?:\w+\s+){{0,4}}{one}\b",
    )[number % 5]


def _text(
    dice: random.Random, vocabulary: Sequence[str], rules: Rules, length: int
) -> str:
    words: list[str] = []
    size = 0
    while size < length:
        words.append(dice.choice(vocabulary))
        size += len(words[-1]) + 1
    if not dice.randrange(HITTING):
        words[dice.randrange(len(words))] = dice.choice(rules.terms)
    return " ".join(words)[:length].capitalize()
