from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def join_every_team(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Whoever was a moderator before there were members saw every team."""
    alias = schema_editor.connection.alias
    moderators = (
        apps.get_model("auth", "User")
        .objects.using(alias)
        .filter(groups__name="moderator")
    )
    for team in apps.get_model("accounts", "Team").objects.using(alias):
        team.members.add(*moderators)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_teams")]

    operations = [migrations.RunPython(join_every_team, migrations.RunPython.noop)]
