"""The report as JSON: for the records of others. docs/api.md says what its fields mean."""

from collections.abc import Mapping
from typing import Any

import msgspec

from controlplane.audit.models import Entry
from controlplane.chat.models import CorrectionCopy
from controlplane.incidents.corrections import Progress, copies_of
from controlplane.incidents.report import Report
from controlplane.stops.models import Stop

VERSION = 1

_STOP = (
    "mode",
    "scope",
    "value",
    "reason",
    "state",
    "requested_by",
    "requested_at",
    "proven_at",
    "releasing_at",
    "released_at",
    "released_by",
    "release_reason",
    "control_version",
)


def document_of(report: Report) -> bytes:
    """Return it as one JSON object, indented, for people may read it too."""
    return msgspec.json.format(msgspec.json.encode(_fields(report)), indent=2)


def _fields(report: Report) -> Mapping[str, Any]:
    return {
        "version": VERSION,
        "as_of": report.as_of,
        "stop": _stop(report.stop),
        "query": report.query,
        "window": report.window,
        "totals": report.totals,
        "after_proof": report.later,
        "timeline": report.timeline,
        "reached": report.lines,
        "owed": report.owed,
        "corrections": [_correction(each) for each in report.corrections],
        "log": [_entry(entry) for entry in report.entries],
    }


def _stop(stop: Stop) -> dict[str, Any]:
    return {"id": stop.pk, **{name: getattr(stop, name) for name in _STOP}}


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.pk,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "detail": entry.detail,
    }


def _correction(progress: Progress) -> dict[str, Any]:
    written = progress.correction
    return {
        "id": written.pk,
        "text": written.text,
        "sha256": written.text_sha256,
        "reason": written.reason,
        "written_by": written.written_by,
        "written_at": written.written_at,
        "copies": [_copy(copy) for copy in copies_of(written)],
    }


def _copy(copy: CorrectionCopy) -> dict[str, Any]:
    return {
        "conversation": copy.conversation_id,
        "trace_id": copy.turn.trace_id,
        "state": copy.state,
        "why": copy.why,
        "delivered_at": copy.delivered_at,
        "seq": copy.seq,
    }
