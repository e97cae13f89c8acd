"""The page of a trace, its live part, and the raw bytes of one record."""

import hashlib

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from controlplane.accounts.access import SignedInRequest
from controlplane.traces import actions
from controlplane.traces.story import is_trace_id, read_story

MAX_SHOWN = 64 * 1024


@never_cache
def trace(request: SignedInRequest, trace_id: str) -> HttpResponse:
    story = read_story(trace_id)
    if story is None:
        return _unknown(request, trace_id)
    return render(request, "traces/trace.html", {"story": story})


@never_cache
def hops(request: SignedInRequest, trace_id: str) -> HttpResponse:
    story = read_story(trace_id)
    if story is None:
        raise Http404
    return render(request, "traces/_story.html", {"story": story})


@never_cache
def payload(
    request: SignedInRequest, trace_id: str, topic: str, partition: int, offset: int
) -> HttpResponse:
    try:
        read = actions.read_payload(
            trace_id,
            topic=topic,
            partition=partition,
            offset=offset,
            reader=request.user,
        )
    except actions.NoPayloadError:
        return _unknown(request, trace_id)
    context = {
        "payload": read,
        "value": shown_bytes(read.value),
        "key": shown_bytes(read.key),
        "headers": [(name, shown_bytes(value)) for name, value in read.headers],
        "is_cut": len(read.value) > MAX_SHOWN,
        "sha256": hashlib.sha256(read.value).hexdigest(),
        "is_as_indexed": _sha256(read.value) == bytes(read.record.value_sha256),
    }
    return render(request, "traces/payload.html", context)


def shown_bytes(data: bytes) -> str:
    """Text where it is text; bytes that are none are written as escapes."""
    return data[:MAX_SHOWN].decode(errors="backslashreplace")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _unknown(request: HttpRequest, trace_id: str) -> HttpResponse:
    context = {"trace_id": trace_id[:64], "is_id": is_trace_id(trace_id)}
    return render(request, "traces/unknown.html", context, status=404)
