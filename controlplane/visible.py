"""Makes texts fit to be looked at: what hides in them is shown, and what has no end gets places to break.

Every template is rendered through it, whoever wrote the template and whatever its author forgot.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby, islice
from typing import Any

import regex  # type: ignore[import-untyped]
from django.http import HttpRequest
from django.template import TemplateDoesNotExist
from django.template.backends.django import DjangoTemplates, Template, reraise
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

MOST_MARKS = 6  # over one letter: more than any script needs
MOST_NAMES = 3
LONGEST_WORD = 400  # browsers take minutes over the lines of a word that is much longer

# Of most texts every character is one of these, which is soon found out.
_plain = re.compile(
    r"[\n\t\x20-\x7e\xa0-\xac\xae-\u02ff\u2010-\u2027\u20a0-\u20bf\u2190-\u27bf]*"
)
# What has no shape: by Unicode's own list of ignorables, and by kind. The braille blank is a shape of no dots.
_HIDDEN = (
    r"(?:[\p{DI}\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\u2800--[\n\t\r\p{PCM}]]|\r(?!\n))"
)
_HEAP = rf"(?<=\p{{M}}{{{MOST_MARKS}}})\p{{M}}+"
_ONE_EMOJI = r"\p{Extended_Pictographic}\p{Emoji_Modifier}?\uFE0F?"
_EMOJI = rf"{_ONE_EMOJI}(?:\u200D{_ONE_EMOJI})*|[0-9#*]\uFE0F\u20E3"
_runs = regex.compile(rf"{_EMOJI}|(?P<hidden>{_HIDDEN}+|{_HEAP})", regex.V1)

_word = regex.compile(rf"(?>&[#\w]+;|(?!\s|{_HIDDEN})\X){{200}}+(?=\S)", regex.V1)

_tag = re.compile(r"(<[a-z/!][^>]*>?)", re.IGNORECASE)
_special = re.compile(r"<(/?)(textarea|script|style|title|option)\b", re.IGNORECASE)
_WRITTEN = {"textarea", "script", "style"}  # edited by people or read by programs
_BARE = {"title", "option"}  # no elements in them
_read_out = re.compile(
    r"""(?<=\stitle=")[^"]*|(?<=\salt=")[^"]*|(?<=\saria-label=")[^"]*|(?<=\splaceholder=")[^"]*"""
)


def visible(text: str) -> SafeString:
    """Escape a text for a page, with what would not be seen there by its code point."""
    return reveal(escape(text))


def reveal(html: str) -> SafeString:
    """Return a page, or a part of one, that is fit to be looked at. Once more changes no word of it."""
    if not _is_fit(html):
        html = "".join(_revealed(html))
    return mark_safe(html)  # noqa: S308  # what is put in has no more than code points


def _is_fit(text: str) -> bool:
    return bool(_plain.fullmatch(text)) and not _has_no_end(text)


def _has_no_end(text: str) -> bool:
    return any(len(word) > LONGEST_WORD for word in text.split())


def _revealed(html: str) -> Iterator[str]:
    element = ""
    for place, part in enumerate(_tag.split(html)):
        if place % 2:
            element = _element_after(part, element)
            yield part if _plain.fullmatch(part) else _read_out.sub(_bare, part)
        elif element in _WRITTEN or _is_fit(part):
            yield part
        elif element in _BARE:
            yield str(_runs.sub(_code_of, part))
        else:
            yield str(_runs.sub(_span_of, _breakable(part)))


def _element_after(tag: str, element: str) -> str:
    """Return the element that the text after the tag is in, if it is one of the special ones."""
    found = _special.match(tag)
    if found is None:
        return element
    ends, name = found[1], found[2].lower()
    if element in _WRITTEN and not (ends and name == element):
        return element
    return "" if ends else name


def _breakable(text: str) -> str:
    return str(_word.sub(r"\g<0><wbr>", text)) if _has_no_end(text) else text


def _bare(value: "re.Match[str]") -> str:
    return str(_runs.sub(_code_of, value[0]))


def _code_of(run: "regex.Match[str]") -> str:
    return _codes(run[0]) if run["hidden"] else str(run[0])


def _span_of(run: "regex.Match[str]") -> str:
    if not run["hidden"]:
        return str(run[0])
    return f'<span class="unseen" title="{_names(run[0])}">{_codes(run[0])}</span>'


def _codes(run: str) -> str:
    """Return the code points, each with how often it stands there in a row."""
    return " ".join(_code(char, sum(1 for _ in same)) for char, same in groupby(run))


def _code(char: str, times: int) -> str:
    code = f"U+{ord(char):04X}"
    return code if times == 1 else f"{code}×{times}"  # noqa: RUF001  # as people write it


def _names(run: str) -> str:
    first = list(islice(dict.fromkeys(_each_name(run)), MOST_NAMES + 1))
    return ", ".join([*first[:MOST_NAMES], *(["…"] if first[MOST_NAMES:] else [])])


def _each_name(run: str) -> Iterator[str]:
    for char, _ in groupby(run):
        yield unicodedata.name(char, "control character").lower()


class Page(Template):
    """A template whose output hides nothing. Mails and other plain texts are left as they are."""

    def render(
        self,
        context: dict[str, Any] | None = None,
        request: HttpRequest | None = None,
    ) -> SafeString:
        output = super().render(context, request)
        is_page = (self.template.name or ".html").endswith(".html")
        return reveal(output) if is_page else SafeString(output)


class Pages(DjangoTemplates):
    """Django's own templates, rendered as above."""

    def from_string(self, template_code: str) -> Page:
        return Page(self.engine.from_string(template_code), self)

    def get_template(self, template_name: str) -> Page:
        try:
            return Page(self.engine.get_template(template_name), self)
        except TemplateDoesNotExist as error:
            reraise(error, self)
