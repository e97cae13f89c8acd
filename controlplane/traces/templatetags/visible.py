"""The filter for texts that people or models wrote: escaped, nothing hidden."""

from django import template

from controlplane.visible import visible

register = template.Library()
register.filter(visible)
