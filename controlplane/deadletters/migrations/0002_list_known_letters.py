"""Lists the dead letters that the recorder wrote before there was a list of them."""

import base64
import json

from django.db import migrations


def list_known(apps, schema_editor):
    payloads = apps.get_model("traces", "TracePayload").objects.using(
        schema_editor.connection.alias
    )
    known = payloads.filter(topic="agents.dlq").order_by("at", "partition", "offset")
    for payload in known.iterator(chunk_size=10):  # each may have 9 MB
        _list(payload, schema_editor)


def _list(payload, schema_editor):
    # Not at the top: where there was no letter, this migration needs nothing of today's code.
    from agents.records import Record
    from controlplane.deadletters.sinks import LIST, row_of

    record = Record(
        topic=payload.topic,
        partition=payload.partition,
        offset=payload.offset,
        timestamp_ms=round(payload.at.timestamp() * 1000),
        key=None if payload.key is None else bytes(payload.key),
        value=bytes(payload.value),
        headers=[
            (name, base64.b64decode(value))
            for name, value in json.loads(bytes(payload.headers))
        ],
    )
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(LIST, row_of(record))


class Migration(migrations.Migration):
    dependencies = [
        ("deadletters", "0001_initial"),
        ("traces", "0002_tables"),
    ]

    operations = [migrations.RunPython(list_known, migrations.RunPython.noop)]
