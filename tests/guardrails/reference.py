"""What the engine must come to, slowly: every match of a pattern by `re`, tried at every start and end."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

import regex  # type: ignore[import-untyped]

from guardrails.text import normalise, views

Span = tuple[int, int]

_UNSPACED = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
)
_TOKEN = re.compile(r"\\.|.", re.DOTALL)


def pattern_spans(pattern: str, text: str) -> list[Span]:
    """Of every start the longest end; places that overlap are one."""
    found = [
        view.span(*place)
        for view in views(text)
        for place in _every_match(pattern, view.text)
    ]
    return merge(found)


def term_spans(terms: Iterable[str], text: str) -> list[Span]:
    """Whole words, any spaces and dashes between them, by a look at each side."""
    found = []
    for view in views(text):
        for term in terms:
            for alike in (True, False):
                form = normalise(term, look_alikes=alike).text
                words = list(filter(None, re.split(r"[\s-]*\s[\s-]*", form)))
                between = _class(view.text, lambda c: c.isspace() or c == "-") + "+"
                whole = re.compile(f"(?={between.join(map(re.escape, words))})")
                for at in (each.start() for each in whole.finditer(view.text)):
                    end = _end(between, words, view.text, at)
                    if _stands_alone(view.text, at, end):
                        found.append(view.span(at, end))
    return merge(found)


def merge(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def is_spaced(char: str) -> bool:
    if regex.fullmatch(r"\p{Nd}", char):
        return True
    return is_letter(char) and not regex.fullmatch(f"[{_UNSPACED}]", char)


def is_letter(char: str) -> bool:
    return bool(regex.fullmatch(r"[\p{L}\p{M}\p{N}]", char))


def _end(between: str, words: list[str], text: str, at: int) -> int:
    found = re.compile(between.join(map(re.escape, words))).match(text, at)
    assert found is not None
    return found.end()


def _stands_alone(text: str, start: int, end: int) -> bool:
    def is_joined(at: int) -> bool:
        return 0 < at < len(text) and is_spaced(text[at - 1]) and is_spaced(text[at])

    return not is_joined(start) and not is_joined(end)


def _every_match(pattern: str, text: str) -> Iterable[Span]:
    plain = _plain(pattern, text)
    for end in range(1, len(text) + 1):
        until = _compile(rf"(?:{plain})(?=[\s\S]{{{len(text) - end}}}\Z)")
        for start in range(end):
            if until.match(text, start):
                yield start, end


@lru_cache(maxsize=1_000)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _plain(pattern: str, text: str) -> str:
    r"""\b, \w, \d and \s as sets of the characters that the text has."""
    spaced, letter = _class(text, is_spaced), _class(text, is_letter)
    edge = rf"(?:(?!(?<={spaced}){spaced})(?:(?<={letter})|(?={letter})))"
    ways = {
        r"\b": edge,
        r"\B": f"(?!{edge})",
        r"\w": _class(text, lambda c: is_letter(c) or c == "_"),
        r"\d": _class(text, lambda c: bool(regex.fullmatch(r"\p{Nd}", c))),
        r"\s": _class(text, str.isspace),
        "$": r"\n?\Z",
    }
    return "".join(ways.get(token, token) for token in _TOKEN.findall(pattern))


def _class(text: str, is_in: Callable[[str], bool]) -> str:
    """A class of none matches nothing."""
    chars = sorted({char for char in text if is_in(char)})
    return f"[{''.join(map(re.escape, chars))}]" if chars else "[^\\s\\S]"
