"""What rules found that do not act yet, and an index of the records in which any rule has hit."""

from django.db import migrations

ADD = """
ALTER TABLE traces_record ADD COLUMN watched text[] NOT NULL DEFAULT '{}';
CREATE INDEX traces_record_hits ON traces_record (at) WHERE rules <> '{}' OR watched <> '{}';
"""
DROP = """
DROP INDEX traces_record_hits;
ALTER TABLE traces_record DROP COLUMN watched;
"""


class Migration(migrations.Migration):
    dependencies = [("traces", "0003_rules_and_backend")]

    operations = [migrations.RunSQL(ADD, DROP)]
