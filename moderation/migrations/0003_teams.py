from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TEAMS = {
    "discount": "Discounts",
    "finance": "Finance",
    "legal": "Legal",
    "general": "General",
}


def add_teams(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    teams = apps.get_model("moderation", "Team").objects.using(
        schema_editor.connection.alias
    )
    for slug, name in TEAMS.items():
        teams.get_or_create(slug=slug, defaults={"name": name})


class Migration(migrations.Migration):
    dependencies = [("moderation", "0002_overrides_and_latest_decisions")]

    operations = [migrations.RunPython(add_teams, migrations.RunPython.noop)]
