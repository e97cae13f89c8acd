"""What the pages of backtests show: how far each is, what it has found, and whether that is still about the draft."""

from datetime import timedelta
from typing import Any

import msgspec
from django import forms
from django.contrib.auth.models import User
from django.http import QueryDict

from controlplane.backtests.actions import PAGE as SAMPLES
from controlplane.backtests.actions import Read
from controlplane.backtests.models import Backtest
from controlplane.rulebook.listing import rights
from controlplane.rulebook.progress import STATES, progress, waiting
from controlplane.spoken import spoken
from guardrails import actions, rules
from guardrails.backtest import Comparison, PlaceTally, RuleTally, Sample, Tally
from guardrails.models import Publication, Rule
from moderation.marks import excerpt

LISTED = 30
RULES_SHOWN = 100
MOVES_SHOWN = 20
PRESETS = (1_000, 10_000, 50_000)
MAX_SIZE = 100_000
MAY_READ = "backtests.view_sample"
CHANGES = {
    "new": ("soft", "newly hit"),
    "lost": ("plain", "no longer hit"),
    "changed": ("soft", "hit otherwise"),
    "outcome": ("soft", "ends otherwise"),
}


class SizeForm(forms.Form):
    """How many of the latest messages; other comes before what is chosen."""

    size = forms.TypedChoiceField(
        label="How many of the latest messages",
        coerce=int,
        choices=[(each, f"{each:,}") for each in PRESETS],
        widget=forms.RadioSelect,
        initial=PRESETS[1],
    )
    other = forms.IntegerField(
        label="or another number",
        required=False,
        min_value=1,
        max_value=MAX_SIZE,
        help_text=f"Up to {MAX_SIZE:,}.",
    )

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data, auto_id="last-%s", label_suffix="")

    @property
    def wanted(self) -> int:
        given = self.cleaned_data
        return int(given["other"] or given["size"])


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A backtest in the list."""

    job: Backtest
    color: str
    word: str
    is_of_draft: bool


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A rule with what it hit, and where: several places with what it hit in each."""

    id: str
    name: str
    whole: Tally
    places: list[tuple[PlaceTally, Tally]]
    is_in_draft: bool

    @property
    def changed(self) -> int:
        """In how many texts it hits otherwise."""
        return self.whole.new + self.whole.lost + self.whole.changed


class TeamLoad(msgspec.Struct, frozen=True, kw_only=True):
    """An hour: none where the texts lie too close together to say. more: with its sign, if it is more or less."""

    team: str
    live: int
    draft: int
    live_per_hour: float | None
    draft_per_hour: float | None
    more: str


class ShownSample(msgspec.Struct, frozen=True, kw_only=True):
    sample: Sample
    color: str
    word: str
    html: str | None  # none: the record is no longer kept


def draft_hash() -> str:
    """Return nothing of a draft that cannot be read."""
    try:
        return rules.ruleset_hash(actions.draft())
    except actions.InvalidRulesError:
        return ""


def list_context(user: User, form: SizeForm, **problems: Any) -> dict[str, Any]:
    """problems: why none was started."""
    of_draft = draft_hash()
    found = list(Backtest.objects.light().latest_first()[:LISTED])
    return {
        "form": form,
        "listed": [_listed(job, of_draft) for job in found],
        "is_any_unfinished": any(job.is_unfinished for job in found),
        "draft_hash": of_draft,
        **rights(user),
        **problems,
    }


def _listed(job: Backtest, of_draft: str) -> Listed:
    color, word = STATES[job.state]
    is_of_draft = job.draft_hash == of_draft
    return Listed(job=job, color=color, word=word, is_of_draft=is_of_draft)


def job_context(job: Backtest, user: User) -> dict[str, Any]:
    may_read = user.has_perm(MAY_READ)
    context = {**progress(job), "may_read": may_read, **rights(user)}
    if job.is_unfinished:
        return context | waiting(job, Backtest.objects.all())
    latest = Publication.objects.latest_first().first()
    return context | {
        "is_of_draft": job.draft_hash == draft_hash(),
        "is_in_force": job.in_force_id == (latest.rule_set_id if latest else None),
        **found_context(job),
    }


def found_context(job: Backtest) -> dict[str, Any]:
    """Of one that has found nothing yet: nothing."""
    if job.result is None:
        return {"found": None}
    found = msgspec.convert(job.result, Comparison)
    shown = sorted(found.rules.items(), key=_most_changed)
    in_draft = set(Rule.objects.values_list("slug", flat=True))
    return {
        "found": found,
        "newly": found.total("newly_held"),
        "no_longer": found.total("no_longer_held"),
        "moved": found.total("moved"),
        "span": spoken(timedelta(seconds=found.span_s)),
        "teams": _teams(found),
        "places": sorted(found.places.values(), key=lambda place: -place.texts),
        "moves": _moves(found)[:MOVES_SHOWN],
        "shown": [_shown(*each, found, in_draft) for each in shown[:RULES_SHOWN]],
        "unlisted": max(0, len(shown) - RULES_SHOWN),
    }


def _most_changed(item: tuple[str, RuleTally]) -> tuple[int, int, str]:
    whole = item[1].whole
    return -(whole.new + whole.lost + whole.changed), -whole.draft, item[0]


def _shown(key: str, rule: RuleTally, found: Comparison, in_draft: set[str]) -> Shown:
    return Shown(
        id=key,
        name=rule.name,
        whole=rule.whole,
        places=[(found.places[p], t) for p, t in rule.places.items()],
        is_in_draft=key in in_draft,
    )


def _teams(found: Comparison) -> list[TeamLoad]:
    return [
        TeamLoad(
            team=team,
            live=load.live,
            draft=load.draft,
            live_per_hour=found.per_hour(load.live),
            draft_per_hour=found.per_hour(load.draft),
            more=_signed(found.per_hour(load.draft - load.live)),
        )
        for team, load in sorted(found.teams.items())
    ]


def _signed(number: float | None) -> str:
    return f"{number:+,.1f}".replace("-", "−") if number else ""  # noqa: RUF001


def _moves(found: Comparison) -> list[tuple[str, str, int]]:
    ways = [
        (was, would, texts)
        for was, after in found.moves.items()
        for would, texts in after.items()
    ]
    return sorted(ways, key=lambda way: (-way[2], way[0], way[1]))


def samples_context(job: Backtest, read: list[Read], page: int) -> dict[str, Any]:
    total = len((job.result or {}).get("samples", ()))
    pages = max(1, -(-total // SAMPLES))
    return {
        "job": job,
        "samples": [_shown_sample(each) for each in read],
        "total": total,
        "page": page,
        "pages": pages,
    }


def _shown_sample(read: Read) -> ShownSample:
    sample = read.sample
    color, word = CHANGES[sample.change]
    spans = [(start, end, sample.name or "hit") for start, end in sample.spans]
    html = None if read.text is None else excerpt(read.text, spans)
    return ShownSample(sample=sample, color=color, word=word, html=html)


def with_rule(wanted: rules.Rule) -> rules.RuleSet:
    """Return the draft as it would be with this rule saved; one that would do nothing is enforced."""
    if wanted.mode in {"draft", "off"}:
        wanted = msgspec.structs.replace(wanted, mode="enforce")
    return actions.with_rules(actions.draft(), rules.RuleSet((wanted,)))


def of_draft_context(seen: str) -> dict[str, Any]:
    """The latest backtest of exactly this draft, for whoever is about to publish it."""
    job = Backtest.objects.of_draft(seen).select_related("started_by").first()
    return {"backtest": job, **(found_context(job) if job else {})}
