"""Shows texts that nobody here wrote: escaped, the invisible made visible, spans and changes marked."""

import difflib
from collections.abc import Iterable, Iterator
from itertools import takewhile

import regex  # type: ignore[import-untyped]
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from controlplane.visible import visible

Span = tuple[int, int, str]  # start, end, what it is

Step = tuple[str, int, int, int, int]  # as difflib has them

EXCERPT = 180
COMPARED = 250_000  # pairs of words
_WORDS = regex.compile(r"\w+|\s+|[^\w\s]")


def marked(text: str, spans: Iterable[Span]) -> SafeString:
    """Mark spans, given in code points. Where they touch or overlap, they become one mark."""
    parts: list[SafeString] = []
    at = 0
    for start, end, title in _united(spans, len(text)):
        said = visible(text[start:end])
        mark = format_html('<mark title="{}">{}</mark>', title, said)
        parts += [visible(text[at:start]), mark]
        at = end
    return _joined([*parts, visible(text[at:])])


def excerpt(text: str, spans: Iterable[Span]) -> SafeString:
    """Return the part of the text around its first span, the spans marked."""
    known = list(spans)
    first = min((start for start, _, _ in known), default=0)
    begin = max(0, min(first - EXCERPT // 3, len(text) - EXCERPT))
    shown = text[begin : begin + EXCERPT]
    moved = [(start - begin, end - begin, title) for start, end, title in known]
    before = "… " if begin else ""
    after = " …" if begin + EXCERPT < len(text) else ""
    return format_html("{}{}{}", before, marked(shown, moved), after)


def changes(before: str, after: str) -> SafeString:
    """Return one text with what was taken out and put in, word by word."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    parts: list[SafeString] = []
    for kind, i, j, k, m in _steps(old, new):
        if kind == "equal":
            parts.append(visible("".join(old[i:j])))
            continue
        if i < j:
            parts.append(format_html("<del>{}</del>", visible("".join(old[i:j]))))
        if k < m:
            parts.append(format_html("<ins>{}</ins>", visible("".join(new[k:m]))))
    return _joined(parts)


def _steps(old: list[str], new: list[str]) -> Iterable[Step]:
    """Return how one list becomes the other; roughly, where finding out would take seconds."""
    if len(old) * len(new) <= COMPARED:
        return difflib.SequenceMatcher(None, old, new).get_opcodes()
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False))
    same = sum(1 for _ in pairs)
    return [
        ("equal", 0, same, 0, same),
        ("replace", same, len(old), same, len(new)),
    ]


def _united(spans: Iterable[Span], length: int) -> Iterator[Span]:
    """Yield spans in order, within the text, none over another."""
    pending: Span | None = None
    for start, end, title in sorted(spans):
        start, end = max(0, start), min(end, length)  # noqa: PLW2901
        if start >= end:
            continue
        if pending and start <= pending[1]:
            titles = dict.fromkeys([*pending[2].split("; "), title])
            pending = pending[0], max(end, pending[1]), "; ".join(titles)
            continue
        if pending:
            yield pending
        pending = start, end, title
    if pending:
        yield pending


def _joined(parts: Iterable[SafeString]) -> SafeString:
    return format_html_join("", "{}", ((part,) for part in parts)) or mark_safe("")
