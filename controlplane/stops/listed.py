"""The turns that a hard stop has met, by what became of each."""

import msgspec
from django.db.models import Count, Q

from controlplane.stops.models import ListedTurn, Stop

FEW = 20  # of each fate, while all are shown
MANY = 500  # of the chosen one, on one page
MAX_DIGITS = 18  # of a row's number

Fate = ListedTurn.Fate
TITLES = {
    Fate.IN_FLIGHT: "On their way at the request",
    Fate.DELIVERED: "Went out between request and proof",
    Fate.UNKNOWN: "Ended, outcome unknown",
    Fate.NOT_FETCHED: "Committed before, no widget had said that it has it",
}
WENT_OUT = (
    Fate.DELIVERED,
    Fate.NOT_FETCHED,
)  # of these a widget may say that it has it


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of some turns. more: where the next page begins, if there is one."""

    fate: str
    title: str
    count: int
    fetched: int | None  # of them, by now; None where nothing went out
    turns: list[ListedTurn]
    more: int | None


class Lists(msgspec.Struct, frozen=True, kw_only=True):
    """chosen: the only fate that is shown, or none."""

    all: list[Listed]
    chosen: str
    after: int

    @property
    def shown(self) -> list[Listed]:
        return [each for each in self.all if self.chosen in {"", each.fate}]

    @property
    def query(self) -> str:
        after = f"&after={self.after}" if self.after else ""
        return f"?fate={self.chosen}{after}" if self.chosen else ""


def lists_of(stop: Stop, *, fate: str = "", after: str = "") -> Lists:
    """Return what the query asks for; what it cannot mean is not asked."""
    chosen = fate if fate in Fate else ""
    start = (
        int(after) if chosen and after.isdecimal() and len(after) <= MAX_DIGITS else 0
    )
    counts = _counts(stop)
    return Lists(
        all=[_listed(stop, Fate(each), counts, chosen, start) for each in Fate],
        chosen=chosen,
        after=start,
    )


def _counts(stop: Stop) -> dict[str, tuple[int, int]]:
    """Return how many there are of each fate, and how many of them are fetched by now."""
    rows = stop.listed.with_fetched().values_list("fate")
    counted = rows.annotate(
        count=Count("pk"), fetched=Count("pk", filter=Q(is_fetched=True))
    )
    return {fate: (count, fetched) for fate, count, fetched in counted}


def _listed(
    stop: Stop, fate: Fate, counts: dict[str, tuple[int, int]], chosen: str, start: int
) -> Listed:
    most = MANY if chosen == fate else FEW
    count, fetched = counts.get(fate, (0, 0))
    turns: list[ListedTurn] = []
    if count and chosen in {"", fate}:
        rows = stop.listed.filter(fate=fate, pk__gt=start).with_fetched()
        turns = list(rows.order_by("pk")[: most + 1])
    return Listed(
        fate=fate.value,
        title=TITLES[fate],
        count=count,
        fetched=fetched if fate in WENT_OUT else None,
        turns=turns[:most],
        more=turns[most - 1].pk if chosen == fate and len(turns) > most else None,
    )
