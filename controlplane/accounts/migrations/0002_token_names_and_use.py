from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

SCOPES = [
    ("events:write", "Events Write"),
    ("traces:read", "Traces Read"),
    ("approvals:read", "Approvals Read"),
    ("approvals:decide", "Approvals Decide"),
    ("runtime:read", "Runtime Read"),
    ("stops:read", "Stops Read"),
    ("stops:write", "Stops Write"),
    ("stops:release", "Stops Release"),
]


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="apitoken",
            name="name",
            field=models.CharField(blank=True, max_length=100),
        ),
        migrations.AddField(
            model_name="apitoken",
            name="last_used_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="apitoken",
            name="scopes",
            field=ArrayField(
                base_field=models.CharField(choices=SCOPES, max_length=30), size=None
            ),
        ),
    ]
