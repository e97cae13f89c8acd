"""What the pages of evaluations show, and how labelled texts are read out of a form."""

import io
from typing import Any

import msgspec
from django import forms
from django.contrib.auth.models import User
from django.http import QueryDict
from django.utils.safestring import SafeString

from agents.topics import TIERS
from controlplane.evaluations.models import Evaluation
from controlplane.rulebook.files import MAX_BYTES, FileError, Problem
from controlplane.rulebook.progress import STATES, progress, waiting
from controlplane.rulebook.published import rules_in
from guardrails import actions
from guardrails.evaluation import Evaluation as Found
from guardrails.evaluation import Figures, Row, Sample
from guardrails.evaluation_report import as_plain, reasons_of
from guardrails.labelled import BadLine, NotLabelledError, Usual, read_csv, read_json
from guardrails.models import Publication
from guardrails.rules import RuleSet, decode_rule_set
from moderation.marks import marked

LISTED = 30
REASONS = 5
SAMPLED = 50  # rules of which samples are shown


class TextsForm(forms.Form):
    """They come as text: no form here takes files."""

    texts = forms.CharField(
        label="Labelled texts, as CSV or JSON lines",
        strip=False,
        help_text="Columns, or fields of each object, are text and label: hit or pass, an action, or the ids of the"
        " rules that must hit; with direction and tier where lines differ."
        f" Up to {MAX_BYTES:,} bytes.",
        widget=forms.Textarea(
            attrs={"rows": 12, "class": "mono", "spellcheck": "false"}
        ),
        error_messages={"required": "Put texts in here, or choose a file."},
    )
    file = forms.CharField(label="What they are called", max_length=200, required=False)
    rules = forms.ChoiceField(
        label="Evaluate",
        choices=Evaluation.Rules.choices,
        initial=Evaluation.Rules.DRAFT,
        widget=forms.RadioSelect,
    )
    direction = forms.ChoiceField(
        label="They are", choices=[("input", "what users write"), ("output", "answers")]
    )
    tier = forms.ChoiceField(label="Tier", choices=[(each, each) for each in TIERS])

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data, auto_id="texts-%s", label_suffix="")

    def rule_set(self) -> RuleSet | None:
        """None where nothing is in force. InvalidRulesError if a rule of the draft cannot be read."""
        if self.cleaned_data["rules"] == Evaluation.Rules.DRAFT:
            return actions.draft()
        latest = Publication.objects.with_people().latest_first().first()
        return decode_rule_set(bytes(latest.rule_set.body)) if latest else None

    def rows(self, rule_set: RuleSet) -> list[Row]:
        """FileError with all lines that cannot be read: it is all of them, or none."""
        given = self.cleaned_data
        usual = Usual(
            file=given["file"],
            direction=given["direction"],
            tier=given["tier"],
            rules=frozenset(rule.id for rule in rule_set.rules),
        )
        return read(given["texts"], usual)


def read(text: str, usual: Usual) -> list[Row]:
    """It is CSV unless it begins as an object. FileError."""
    plain = text.replace("\r\n", "\n").encode(errors="surrogatepass")
    if len(plain) > MAX_BYTES:
        says = f"All of it is {len(plain):,} bytes; up to {MAX_BYTES:,} go in here."
        raise FileError([Problem(1, says)])
    lines = read_json if plain.lstrip()[:1] == b"{" else read_csv
    try:
        found = list(lines(io.BytesIO(plain), usual))
    except NotLabelledError as error:
        raise FileError([Problem(1, _sentence(str(error)))]) from error
    bad = [each for each in found if isinstance(each, BadLine)]
    if bad:
        raise FileError([Problem(each.number, _sentence(each.reason)) for each in bad])
    if not found:
        raise FileError([Problem(1, "There is no text in it.")])
    return [each for each in found if isinstance(each, Row)]


def _sentence(says: str) -> str:
    return f"{says[:1].upper()}{says[1:]}".rstrip(".") + "."


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A sample, with what was hit marked."""

    sample: Sample
    html: SafeString


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """A rule, or the whole set (no id), with its figures."""

    id: str
    name: str
    figures: Figures
    wrong: list[Shown] = []
    missed: list[Shown] = []

    @property
    def clean(self) -> int:
        return self.figures.false_positives + self.figures.true_negatives

    @property
    def precision(self) -> str:
        return _percent(self.figures.precision)

    @property
    def recall(self) -> str:
        return _percent(self.figures.recall)


def list_context(user: User, form: TextsForm, **why: Any) -> dict[str, Any]:
    """why: what keeps one from being started."""
    found = list(Evaluation.objects.light().latest_first()[:LISTED])
    return {
        "form": form,
        "listed": [(job, *STATES[job.state]) for job in found],
        "is_any_unfinished": any(job.is_unfinished for job in found),
        "max_bytes": MAX_BYTES,
        **_rights(user),
        **why,
    }


def _rights(user: User) -> dict[str, bool]:
    return {
        "may_add": user.has_perm("evaluations.add_evaluation"),
        "may_delete": user.has_perm("evaluations.delete_evaluation"),
    }


def job_context(job: Evaluation, user: User) -> dict[str, Any]:
    context = {**progress(job), **_rights(user)}
    if job.is_unfinished:
        return context | waiting(job, Evaluation.objects.all())
    return context | _found(job)


def found_in(job: Evaluation) -> Found | None:
    if job.result is None:
        return None
    return msgspec.json.decode(bytes(job.result), type=Found)


def _found(job: Evaluation) -> dict[str, Any]:
    found = found_in(job)
    if found is None:
        return {"found": None}
    known = rules_in(job.rules_body) or {}
    counted = [
        _counted(key, known[key].name if key in known else key, figures)
        for key, figures in sorted(found.rules.items(), key=_most_wrong)
    ]
    told = [each for each in counted if each.wrong or each.missed]
    return {
        "found": found,
        "whole": _counted("", "All rules together", found.whole),
        "counted": counted,
        "told": told[:SAMPLED],
        "untold": max(0, len(told) - SAMPLED),
        "reasons": reasons_of(found)[:REASONS],
    }


def _most_wrong(item: tuple[str, Figures]) -> tuple[int, int, str]:
    key, figures = item
    wrong = figures.false_positives + figures.false_negatives
    return -wrong, -figures.hits, key


def _counted(key: str, name: str, figures: Figures) -> Counted:
    return Counted(
        id=key,
        name=name,
        figures=figures,
        wrong=[_shown(each) for each in figures.false_positive_samples],
        missed=[_shown(each) for each in figures.false_negative_samples],
    )


def _shown(sample: Sample) -> Shown:
    spans = ((start, end, sample.said) for start, end in sample.spans)
    return Shown(sample=sample, html=marked(sample.text, spans))


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.1f} %"


def report(job: Evaluation) -> bytes:
    """Return the evaluation as machines read it, as manage.py guard_eval writes it."""
    found = found_in(job) or Found()
    plain = {
        "evaluation": str(job.pk),
        "state": job.state,
        "ruleset_hash": job.ruleset_hash,
        "files": [job.file],
        "texts": job.total,
        **as_plain(found),
    }
    return msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n"
