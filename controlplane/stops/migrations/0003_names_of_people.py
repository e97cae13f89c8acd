from django.db import migrations, models
from django.db.models import Q

NAMES = """
UPDATE stops_stop s SET
  requester = (SELECT username FROM auth_user u WHERE u.id = s.requested_by_id),
  releaser = coalesce((SELECT username FROM auth_user u WHERE u.id = s.released_by_id), '')
"""
CONSTRAINT = "stops_release_has_person_and_reason"


class Migration(migrations.Migration):
    """A stop may also be requested at a shell, or by a rule."""

    dependencies = [("stops", "0002_proof_lists")]

    operations = [
        migrations.AddField(
            "stop", "requester", models.CharField(max_length=150, default="")
        ),
        migrations.AddField(
            "stop",
            "releaser",
            models.CharField(max_length=150, blank=True, default="", db_default=""),
        ),
        migrations.RunSQL(NAMES, migrations.RunSQL.noop),
        migrations.RemoveConstraint("stop", CONSTRAINT),
        migrations.RemoveField("stop", "requested_by"),
        migrations.RemoveField("stop", "released_by"),
        migrations.RenameField("stop", "requester", "requested_by"),
        migrations.RenameField("stop", "releaser", "released_by"),
        migrations.AlterField("stop", "requested_by", models.CharField(max_length=150)),
        migrations.AlterField(
            "stop",
            "released_by",
            models.CharField(max_length=150, blank=True, db_default=""),
        ),
        migrations.AddConstraint(
            "stop",
            models.CheckConstraint(
                name=CONSTRAINT,
                condition=Q(released_at=None)
                | (~Q(released_by="") & ~Q(release_reason="")),
            ),
        ),
    ]
