"""Rules in Django's admin: edit the draft, publish it, roll back to an earlier set."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from guardrails import actions
from guardrails.forms import RuleForm
from guardrails.models import Publication, Rule, RuleSet


def _publisher(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


@admin.register(Rule)
class RuleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = RuleForm
    list_display = ("name", "direction", "kind", "action", "mode", "version")
    list_filter = ("direction", "kind", "mode")
    search_fields = ("name", "slug")
    actions = ("publish_draft",)

    def save_model(
        self,
        request: HttpRequest,
        obj: Rule,
        form: Any,
        change: bool,  # noqa: FBT001
    ) -> None:
        actions.save_rule(obj, editor=_publisher(request), is_new=not change)

    def delete_model(self, request: HttpRequest, obj: Rule) -> None:
        actions.delete_rules([obj.pk], editor=_publisher(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        keys = list(queryset.values_list("pk", flat=True))
        actions.delete_rules(keys, editor=_publisher(request))

    @admin.action(description="Publish the whole draft", permissions=["publish"])
    def publish_draft(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        try:
            publication = actions.publish(
                reason="published in the admin", publisher=_publisher(request)
            )
        except actions.InvalidRulesError as error:
            for problem in error.problems:
                messages.error(request, problem)
        else:
            messages.success(request, f"Rule-set {publication.rule_set} is in force.")

    def has_publish_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("guardrails.add_publication")


class HistoryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """History is looked at, never edited."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(RuleSet)
class RuleSetAdmin(HistoryAdmin):
    list_display = ("__str__", "created_at")
    actions = ("put_in_force",)

    @admin.action(description="Put in force", permissions=["publish"])
    def put_in_force(self, request: HttpRequest, queryset: QuerySet[RuleSet]) -> None:
        if queryset.count() != 1:
            messages.error(request, "Choose one rule-set.")
            return
        actions.put_in_force(
            queryset.get(),
            reason="rolled back in the admin",
            publisher=_publisher(request),
        )
        messages.success(request, "It is in force.")

    def has_publish_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("guardrails.add_publication")


@admin.register(Publication)
class PublicationAdmin(HistoryAdmin):
    list_display = ("rule_set", "published_by", "published_at", "reason")
