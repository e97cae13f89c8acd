"""Teams in Django's admin. Approvals and decisions are history: they have pages of their own."""

from django.contrib import admin

from moderation.models import Team


@admin.register(Team)
class TeamAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    list_display = ("name", "slug")
    search_fields = ("name", "slug")
    ordering = ("name", "pk")
