"""Control state begins with a version, so that runtimes can tell it from none."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def begin(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    version = apps.get_model("runtime", "ControlVersion")
    version.objects.using(schema_editor.connection.alias).get_or_create(
        pk=1, defaults={"version": 1}
    )


class Migration(migrations.Migration):
    dependencies = [("runtime", "0001_initial")]

    operations = [migrations.RunPython(begin, migrations.RunPython.noop)]
