from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("moderation", "0003_teams")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.AlterModelTable("Team", "accounts_team")],
            state_operations=[migrations.DeleteModel("Team")],
        ),
    ]
