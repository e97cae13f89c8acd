"""Rules as files. They come back as text: no form here takes files."""

from django import forms
from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.rulebook import files
from guardrails import actions
from guardrails.rules import RuleSet

_TYPES = {"json": "application/json", "csv": "text/csv; charset=utf-8"}


class ImportForm(forms.Form):
    rules = forms.CharField(
        label="Rules, as JSON or CSV",
        strip=False,
        widget=forms.Textarea(
            attrs={"rows": 14, "class": "mono", "spellcheck": "false"}
        ),
        error_messages={"required": "Put rules in here, or choose a file."},
    )

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data, auto_id="import-%s", label_suffix="")


@never_cache
def bring(request: SignedInRequest) -> HttpResponse:
    """Put rules into the draft: all of them, or none and what is wrong with which line."""
    if request.method != "POST":
        return _import(request, ImportForm())
    form = ImportForm(request.POST)
    if not form.is_valid():
        return _import(request, form, status=422)
    try:
        wanted = files.read(form.cleaned_data["rules"])
    except files.FileError as error:
        return _import(request, form, error=error, status=422)
    changed = actions.save_rules(RuleSet(tuple(wanted)), editor=request.user)
    done = {"changed": changed, "same": len(wanted) - len(changed)}
    return _import(request, ImportForm(), done=done)


def _import(
    request: SignedInRequest, form: ImportForm, *, status: int = 200, **said: object
) -> HttpResponse:
    context = {"form": form} | said
    return render(request, "rules/import.html", context, status=status)


@never_cache
def export(request: SignedInRequest) -> HttpResponse:
    """The draft; ?form=csv, else as JSON. What cannot be read is not in it."""
    form: files.Format = "csv" if request.GET.get("form") == "csv" else "json"
    body = files.write(actions.readable_draft().rules, form)
    answer = HttpResponse(body, content_type=_TYPES[form])
    answer["Content-Disposition"] = f'attachment; filename="rules.{form}"'
    return answer
