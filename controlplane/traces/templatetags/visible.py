"""The filter for texts that people or models wrote: escaped, nothing hidden."""

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from controlplane import visible as hidden

register = template.Library()


@register.filter
def visible(text: str) -> SafeString:
    return format_html_join(
        "", "{}", ((_shown(piece, name),) for piece, name in hidden.pieces(text))
    )


def _shown(piece: str, name: str) -> str | SafeString:
    if not name:
        return piece
    return format_html('<span class="unseen" title="{}">{}</span>', name, piece)
