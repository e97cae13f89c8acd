"""The moderation pages: the queue, and the page of each held answer."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render, resolve_url
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import never_cache
from django_htmx.http import push_url, reswap, retarget

from controlplane.accounts.access import SignedInRequest, refuse, signed_out
from controlplane.fragments import wants_fragment
from moderation import actions, pages
from moderation.forms import DecisionForm
from moderation.models import Approval, Decision

DECIDE = "moderation.decide_approval"


def reader_page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Serve a page that is always read anew, whole or as a fragment."""

    @signed_out(_sign_in)
    @wraps(view)
    @never_cache
    def served(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        patch_vary_headers(response, ["HX-Request-Type"])
        return response

    return served


def _sign_in(request: HttpRequest) -> HttpResponse:
    """A fragment cannot be a sign-in page, and must not take the place of what was typed."""
    if not wants_fragment(request):
        return redirect_to_login(request.get_full_path())
    context = {"sign_in": resolve_url(settings.LOGIN_URL)}
    response = render(request, "moderation/_signed_out.html", context, status=401)
    return reswap(retarget(response, "#queue-said"), "innerHTML")


def _team_of(query: QueryDict) -> str:
    return pages.clean_team(query.get("team", ""))


@reader_page
def queue(request: SignedInRequest) -> HttpResponse:
    context = pages.queue_context(request.user, _team_of(request.GET))
    template = "_list_partials" if wants_fragment(request) else "queue"
    return render(request, f"moderation/{template}.html", context)


@reader_page
def item(request: SignedInRequest, approval_id: UUID) -> HttpResponse:
    approval = get_object_or_404(Approval.objects.with_conversation(), pk=approval_id)
    try:
        actions.check_team(approval, request.user)
    except actions.OtherTeamError as error:
        refuse(request, request.user, error.needs)
    if request.method == "POST":
        return _decide(request, approval)
    return _page(request, approval, team=_team_of(request.GET))


def _decide(request: SignedInRequest, approval: Approval) -> HttpResponse:
    form = DecisionForm(request.POST, approval=approval)
    show = partial(_page, request, approval, team=_team_of(request.POST), form=form)
    if not form.is_valid():
        return show(status=422)
    try:
        decision = actions.decide(
            approval.pk, **form.decision(), moderator=request.user
        )
    except actions.AlreadyDecidedError:
        approval.refresh_from_db(fields=["state"])
        return show(status=409, lost=True, typed=form.typed())
    except actions.StaleFingerprintError as error:
        form.renew(error.fingerprint)
        return show(status=409, fresh=pages.newer_lines(error.turns))
    except actions.BusyError as error:
        form.add_error(None, str(error))
        return show(status=409)
    except actions.InvalidDecisionError as error:
        form.refuse(error.field, str(error))
        is_held = isinstance(error, actions.GuardrailError)
        return show(status=422, guard_refused=is_held)
    return _done(request, decision, form)


def _done(
    request: SignedInRequest, decision: Decision, form: DecisionForm
) -> HttpResponse:
    """Show the confirmed result; on a live page with the next answer, if that is wished."""
    team, then_next = form.cleaned_data["team"], form.cleaned_data["then_next"]
    approval = decision.approval
    if not wants_fragment(request):
        return redirect(_url_of(approval, team))
    following = (
        pages.next_pending(request.user, team, after=approval) if then_next else None
    )
    if following is None:
        return _page(request, approval, team=team)
    response = _page(request, following, team=team, just_decided=decision)
    return push_url(response, _url_of(following, team))


def _url_of(approval: Approval, team: str) -> str:
    query = {"team": team} if team else None
    return reverse("moderation:item", args=[approval.pk], query=query)


def _page(
    request: SignedInRequest,
    approval: Approval,
    *,
    team: str,
    status: int = 200,
    **found: Any,
) -> HttpResponse:
    """Render an item: alone if htmx asked for that, else with the whole page around it."""
    may_decide = request.user.has_perm(DECIDE)
    context = pages.queue_context(request.user, team, approval.pk) | pages.item_context(
        approval
    )
    if may_decide and context["decision"] is None:
        context["form"] = DecisionForm(approval=approval, team=team)
    context |= {
        "may_decide": may_decide,
        "may_override": request.user.has_perm(actions.OVERRIDE),
        "is_fragment": wants_fragment(request),
    }
    template = "_item_answer" if wants_fragment(request) else "queue"
    return render(
        request, f"moderation/{template}.html", context | found, status=status
    )
