"""What the palette finds: turns by the beginning of a trace id, or by their conversation."""

import re

from django.db.models import QuerySet

from controlplane.chat.models import Turn
from controlplane.traces.models import TraceRecord

MOST = 8
_BEGINNING = re.compile("[0-9a-f]{8,32}")  # of a trace id; pages show eight
TRACE_ID_LENGTH = 32


def find_turns(asked: str) -> list[Turn]:
    """Return the latest turns that are meant. Both ways use an index."""
    text = asked.strip().replace("\x00", "")
    if not text:
        return []
    by_trace = list(_of_trace(text.lower()))
    return by_trace or list(_latest(Turn.objects.filter(conversation=text)))


def is_other_trace(asked: str) -> bool:
    """Whether it is a trace without a turn, such as those of other workflows."""
    text = asked.strip().lower()
    is_whole = len(text) == TRACE_ID_LENGTH and _BEGINNING.fullmatch(text)
    return bool(is_whole) and TraceRecord.objects.of_trace(text).exists()


def _of_trace(text: str) -> QuerySet[Turn]:
    if not _BEGINNING.fullmatch(text):
        return Turn.objects.none()
    ends = text.ljust(TRACE_ID_LENGTH, "0"), text.ljust(TRACE_ID_LENGTH, "f")
    return _latest(Turn.objects.filter(trace_id__range=ends))


def _latest(turns: QuerySet[Turn]) -> QuerySet[Turn]:
    return turns.order_by("-number", "-pk")[:MOST]
