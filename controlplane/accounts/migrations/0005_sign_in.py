"""Attempts to sign in, and the table of Django's cache, in which allauth keeps which codes were used."""

from django.db import migrations, models

CACHE = """
CREATE TABLE accounts_cache (
  cache_key varchar(255) PRIMARY KEY, value text NOT NULL, expires timestamptz NOT NULL
);
CREATE INDEX accounts_cache_expires ON accounts_cache (expires);
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_moderators_keep_their_queues")]

    operations = [
        migrations.CreateModel(
            name="Attempts",
            fields=[
                (
                    "key",
                    models.CharField(max_length=64, primary_key=True, serialize=False),
                ),
                ("count", models.PositiveIntegerField()),
                ("ends_at", models.DateTimeField()),
            ],
            options={"verbose_name_plural": "attempts"},
        ),
        migrations.RunSQL(CACHE, "DROP TABLE accounts_cache"),
    ]
