"""The page of a rule of automatic stops."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.fragments import wants_fragment
from controlplane.stops import automatic
from controlplane.stops.models import StopRule
from controlplane.stops.rule_forms import RuleForm
from controlplane.stops.rule_pages import rule_context


@never_cache
def rule(request: SignedInRequest, name: str) -> HttpResponse:
    found = get_object_or_404(StopRule, pk=name)
    if request.method == "POST":
        return _change(request, found)
    if wants_fragment(request):
        context = rule_context(found, request.user)
        return render(request, "stops/_rule_now.html", context)
    return _page(request, found)


def _change(request: SignedInRequest, found: StopRule) -> HttpResponse:
    form = RuleForm(found, request.POST)
    if not form.is_valid():
        return _page(request, found, form, status=422)
    try:
        automatic.change_rule(
            found.name,
            changes=form.changes(),
            reason=form.cleaned_data["reason"],
            changer=request.user,
        )
    except automatic.NothingChangedError:
        form.add_error(None, "Nothing is changed: the rule is so already.")
        return _page(request, found, form, status=422)
    return redirect("stops:rule", found.name)


def _page(
    request: SignedInRequest,
    found: StopRule,
    form: RuleForm | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    context = rule_context(found, request.user, form)
    return render(request, "stops/rule.html", context, status=status)
