"""Reads the knowledge out of what a model is shown: its sentences, headings and names."""

import re
from dataclasses import dataclass
from functools import lru_cache

from controlplane.embedded.model_server.words import names, terms

_BLOCK = re.compile(
    r"<(knowledge|context|documents|sources|passages)\b[^>]*>(.*?)</\1>",
    re.DOTALL | re.IGNORECASE,
)
_LABEL = re.compile(
    r"^[#\s*]*(?:knowledge|context|documents|sources|passages)\b[^\n.]*:?[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_HEADING = re.compile(r"^(?:#{1,6}\s+(?P<marked>.+?)|(?P<plain>[^.!?]{1,60}):)\s*$")
_BULLET = re.compile(r"^\s*(?:[-*•>]|\d{1,3}[.)]|\[[^\]]{1,20}\])\s+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9ÄÖÜ])")
# What is said to the model, not about the subject.
_INSTRUCTION = re.compile(
    r"(?i)^(?:please\b|you (?:are|must|may not|should|will|have to)\b|your (?:task|role|job)\b"
    r"|(?:answer|reply|respond|use|do not|don't|never|always|only|if|keep|be|return|write|say"
    r"|stay|follow|act|help)\b)"
)


@dataclass(frozen=True)
class Sentence:
    text: str
    terms: frozenset[str]
    heading: frozenset[str]


@dataclass(frozen=True)
class Knowledge:
    sentences: tuple[Sentence, ...]
    names: frozenset[str]
    setting: frozenset[str]
    """Names that hold for the whole text, such as the firm's: asking with them adds nothing."""


def _parts(shown: str) -> tuple[str, str]:
    """Tell what is knowledge from what stands around it."""
    blocks = [match[2] for match in _BLOCK.finditer(shown)]
    if blocks:
        return "\n".join(blocks), _BLOCK.sub("\n", shown)
    label = _LABEL.search(shown)
    if label:
        return shown[label.end() :], shown[: label.start()]
    return shown, ""


def _split(line: str) -> list[str]:
    return _SENTENCE_END.split(_BULLET.sub("", line).strip())


def _read(knowledge: str) -> tuple[list[Sentence], list[str]]:
    """Give the sentences, and the instructions and titles found between them."""
    sentences, around, heading = [], [], ""
    for line in filter(str.strip, knowledge.splitlines()):
        if title := _HEADING.match(line.strip()):
            heading = title["marked"] or title["plain"]
            around += [heading] if line.startswith("# ") else []
            continue
        for text in _split(line):
            if _INSTRUCTION.match(text):
                around.append(text)
            else:
                sentences.append(Sentence(text, terms(text), terms(heading)))
    return sentences, around


@lru_cache(maxsize=256)
def read_knowledge(shown: str) -> Knowledge:
    knowledge, instructions = _parts(shown)
    sentences, around = _read(knowledge)
    setting = frozenset[str]().union(*map(names, [instructions, *around]))
    named = frozenset[str]().union(*(names(each.text) for each in sentences))
    return Knowledge(tuple(sentences), named | setting, setting)
