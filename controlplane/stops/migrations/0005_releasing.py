import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("stops", "0004_control_version"),
    ]

    operations = [
        migrations.CreateModel(
            name="ReleasePace",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("agent", models.CharField(max_length=64)),
                ("next_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("drawn", models.BigIntegerField(default=0)),
                ("short_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="stop",
            name="stops_one_in_force_per_mode_and_scope",
        ),
        migrations.RemoveConstraint(
            model_name="stop",
            name="stops_release_has_person_and_reason",
        ),
        migrations.AddField(
            model_name="stop",
            name="ramp_per_s",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="stop",
            name="release_version",
            field=models.BigIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name="stop",
            name="releasing_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.RunSQL(
            "UPDATE stops_stop SET releasing_at = released_at WHERE released_at IS NOT NULL",
            migrations.RunSQL.noop,
        ),
        migrations.AddConstraint(
            model_name="stop",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("releasing_at", None),
                    models.Q(
                        models.Q(("released_by", ""), _negated=True),
                        models.Q(("release_reason", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="stops_release_has_person_and_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="stop",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("released_at", None),
                    models.Q(
                        ("released_at__gte", models.F("releasing_at")),
                        ("releasing_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="stops_release_is_over_after_it_began",
            ),
        ),
        migrations.AddConstraint(
            model_name="stop",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("ramp_per_s", None), ("ramp_per_s__gt", 0), _connector="OR"
                ),
                name="stops_ramp_is_above_zero",
            ),
        ),
        migrations.AddConstraint(
            model_name="stop",
            constraint=models.UniqueConstraint(
                condition=models.Q(("releasing_at", None)),
                fields=("mode", "scope", "value"),
                name="stops_one_in_force_per_mode_and_scope",
            ),
        ),
        migrations.AddField(
            model_name="releasepace",
            name="stop",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="paces",
                to="stops.stop",
            ),
        ),
        migrations.AddConstraint(
            model_name="releasepace",
            constraint=models.UniqueConstraint(
                fields=("stop", "agent"), name="stops_releasepace_is_one_per_agent"
            ),
        ),
    ]
