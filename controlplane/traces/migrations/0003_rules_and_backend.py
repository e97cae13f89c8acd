"""What hit in a record's verdict and which backend answered. Records of before have neither."""

from django.db import migrations

ADD = """
ALTER TABLE traces_record
  ADD COLUMN rules text[] NOT NULL DEFAULT '{}',
  ADD COLUMN backend text NOT NULL DEFAULT '';
"""
DROP = "ALTER TABLE traces_record DROP COLUMN rules, DROP COLUMN backend;"


class Migration(migrations.Migration):
    dependencies = [("traces", "0002_tables")]

    operations = [migrations.RunSQL(ADD, DROP)]
