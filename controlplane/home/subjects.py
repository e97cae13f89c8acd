"""Where in the pages to find what a line of the log is about."""

from django.contrib.auth.models import User
from django.urls import reverse

from controlplane.accounts import table
from controlplane.audit.models import Entry

# By how a subject begins: what stands after the colon is the route's argument.
_ROUTES = {
    "approval": "moderation:item",
    "job": "deadletters:job",
    "stop": "stops:stop",
    "stop-rule": "stops:rule",
}
_PARTS = {"agent": "#agents", "database": "#services"}
TRACE = "traces:trace"
LONG = 20


def shortened(subject: str) -> str:
    """Ids are shortened in the middle."""
    kind, colon, name = subject.partition(":")
    return f"{kind}{colon}{name[:4]}…{name[-4:]}" if len(name) > LONG else subject


def place_of(entry: Entry, reader: User) -> str:
    """Return an address that this person may open, or nothing."""
    kind, _, name = entry.subject.partition(":")
    route = _ROUTES.get(kind)
    if route and reader.has_perm(table.ROUTES[route]["GET"]):
        return reverse(route, args=[name])
    if entry.trace_id and reader.has_perm(table.ROUTES[TRACE]["GET"]):
        return reverse(TRACE, args=[entry.trace_id])
    return _PARTS.get(kind, "")
