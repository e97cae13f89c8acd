"""The relay marks what Kafka never takes, and goes on with what is behind it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("runtime", "0002_first_version"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="outboxrecord",
            name="runtime_outbox_unpublished",
        ),
        migrations.AddField(
            model_name="outboxrecord",
            name="failed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="outboxrecord",
            name="failure",
            field=models.TextField(blank=True),
        ),
        migrations.AddIndex(
            model_name="outboxrecord",
            index=models.Index(
                condition=models.Q(("failed_at", None), ("published_at", None)),
                fields=["id"],
                name="runtime_outbox_unpublished",
            ),
        ),
    ]
