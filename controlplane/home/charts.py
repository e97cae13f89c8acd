"""Small charts of the latest fifteen minutes, as points of an SVG line."""

from collections.abc import Iterable, Sequence

import msgspec

from agents.pace import BUCKET_S
from controlplane.home.workers import AgentRow

WIDTH, HEIGHT = 116, 24
WHOLE_FROM = 10  # records a second


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """The half minute that is not over has no place in it."""

    points: str
    most: str  # records a second


def chart_of(recent: Sequence[int]) -> Chart:
    counts = recent[:-1]
    most = max(counts, default=0)
    step = WIDTH / max(1, len(counts) - 1)
    heights = (HEIGHT - 1 - count / max(1, most) * (HEIGHT - 2) for count in counts)
    points = (f"{at * step:.0f},{height:.1f}" for at, height in enumerate(heights))
    return Chart(points=" ".join(points), most=said(most / BUCKET_S))


def said(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= WHOLE_FROM else f"{per_second:.1f}"


def added_up(agents: Iterable[AgentRow]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*(agent.recent for agent in agents), strict=True)))


def by_minute(recent: Sequence[int]) -> list[int]:
    """What the line shows, as numbers: a minute each, the oldest first."""
    whole = recent[1:-1]
    return [whole[at] + whole[at + 1] for at in range(0, len(whole), 2)]
