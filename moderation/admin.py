"""Teams in Django's admin. Approvals and decisions are history: they have pages of their own."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from moderation import actions
from moderation.models import Team


def _editor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


@admin.register(Team)
class TeamAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    list_display = ("name", "slug")
    search_fields = ("name", "slug")
    ordering = ("name", "pk")

    def save_model(
        self,
        request: HttpRequest,
        obj: Team,
        form: Any,
        change: bool,  # noqa: FBT001
    ) -> None:
        actions.save_team(obj, editor=_editor(request))

    def delete_model(self, request: HttpRequest, obj: Team) -> None:
        actions.delete_teams([obj.pk], editor=_editor(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Team]) -> None:
        keys = list(queryset.values_list("pk", flat=True))
        actions.delete_teams(keys, editor=_editor(request))
