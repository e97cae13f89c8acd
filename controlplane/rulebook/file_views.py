"""Rules as files. They come back as text: no form here takes files."""

from django import forms
from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.rulebook import files
from controlplane.rulebook.diffs import set_changes
from guardrails import actions
from guardrails.rules import RuleSet, ruleset_hash

_TYPES = {"json": "application/json", "csv": "text/csv; charset=utf-8"}


class ImportForm(forms.Form):
    """seen: the hash of what the person was shown that the draft becomes; without it, that is shown."""

    rules = forms.CharField(
        label="Rules, as JSON or CSV",
        strip=False,
        widget=forms.Textarea(
            attrs={"rows": 14, "class": "mono", "spellcheck": "false"}
        ),
        error_messages={"required": "Put rules in here, or choose a file."},
    )
    seen = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)

    def __init__(self, data: QueryDict | dict[str, str] | None = None) -> None:
        super().__init__(data, auto_id="import-%s", label_suffix="")


@never_cache
def bring(request: SignedInRequest) -> HttpResponse:
    """Show what rules would change in the draft; sent once more, put them there: all of them, or none."""
    if request.method != "POST":
        return _import(request, ImportForm())
    form = ImportForm(request.POST)
    if not form.is_valid():
        return _import(request, form, status=422)
    try:
        wanted = RuleSet(tuple(files.read(form.cleaned_data["rules"])))
    except files.FileError as error:
        return _import(request, form, error=error, status=422)
    seen = form.cleaned_data["seen"]
    if not seen:
        return _look(request, wanted)
    try:
        changed = actions.save_rules(wanted, editor=request.user, seen=seen)
    except actions.StaleDraftError:
        return _look(request, wanted, has_moved=True, status=409)
    done = {"changed": changed, "same": len(wanted.rules) - len(changed)}
    return _import(request, ImportForm(), done=done)


def _look(
    request: SignedInRequest, wanted: RuleSet, *, status: int = 200, **said: object
) -> HttpResponse:
    draft = actions.readable_draft()
    becomes = actions.with_rules(draft, wanted)
    old, new = ({rule.id: rule for rule in each.rules} for each in (draft, becomes))
    changes = set_changes(old, new)
    again = {"rules": request.POST["rules"], "seen": ruleset_hash(becomes)}
    found = {"changes": changes, "same": len(wanted.rules) - len(changes)}
    return _import(request, ImportForm(again), status=status, found=found, **said)


def _import(
    request: SignedInRequest, form: ImportForm, *, status: int = 200, **said: object
) -> HttpResponse:
    context = {"form": form, "max_bytes": files.MAX_BYTES} | said
    return render(request, "rules/import.html", context, status=status)


@never_cache
def export(request: SignedInRequest) -> HttpResponse:
    """The draft; ?form=csv, else as JSON. What cannot be read is not in it."""
    form: files.Format = "csv" if request.GET.get("form") == "csv" else "json"
    body = files.write(actions.readable_draft().rules, form)
    answer = HttpResponse(body, content_type=_TYPES[form])
    answer["Content-Disposition"] = f'attachment; filename="rules.{form}"'
    return answer
