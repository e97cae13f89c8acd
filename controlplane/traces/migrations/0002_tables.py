"""The index and its payloads, partitioned by month, and the function that makes partitions."""

from django.db import migrations

TABLES = """
CREATE TABLE traces_record (
  topic text NOT NULL,
  partition integer NOT NULL,
  "offset" bigint NOT NULL,
  at timestamptz NOT NULL,
  trace_id varchar(32) NOT NULL,
  event_id text NOT NULL,
  parents text[] NOT NULL,
  type text NOT NULL,
  agent text NOT NULL,
  conversation_id text NOT NULL,
  workflow text NOT NULL,
  tier text NOT NULL,
  subject text NOT NULL,
  text text NOT NULL,
  key_sha256 bytea NOT NULL,
  headers_sha256 bytea NOT NULL,
  value_sha256 bytea NOT NULL,
  size_bytes integer NOT NULL,
  CONSTRAINT traces_record_is_indexed_once PRIMARY KEY (topic, partition, "offset", at)
) PARTITION BY RANGE (at);
CREATE INDEX traces_record_trace ON traces_record (trace_id, at);
CREATE INDEX traces_record_conversation ON traces_record (conversation_id, at);

CREATE TABLE traces_payload (
  topic text NOT NULL,
  partition integer NOT NULL,
  "offset" bigint NOT NULL,
  at timestamptz NOT NULL,
  key bytea,
  value bytea NOT NULL,
  headers bytea NOT NULL,
  CONSTRAINT traces_payload_is_stored_once PRIMARY KEY (topic, partition, "offset", at)
) PARTITION BY RANGE (at);

CREATE TABLE traces_record_other PARTITION OF traces_record DEFAULT;
CREATE TABLE traces_payload_other PARTITION OF traces_payload DEFAULT;

-- The application's role may not create tables; it may ask for the next months' partitions.
CREATE FUNCTION traces_create_partitions(months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE
  first date := date_trunc('month', now());
  month date;
  made integer := 0;
  parent text;
BEGIN
  FOR i IN 0..least(months, 24) LOOP
    month := first + make_interval(months => i);
    FOREACH parent IN ARRAY ARRAY['traces_record', 'traces_payload'] LOOP
      IF to_regclass(parent || to_char(month, '_YYYY_MM')) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
          parent || to_char(month, '_YYYY_MM'), parent, month, month + interval '1 month');
        made := made + 1;
      END IF;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;
SELECT traces_create_partitions(2);
"""
NO_TABLES = """
DROP FUNCTION traces_create_partitions(integer);
DROP TABLE traces_payload;
DROP TABLE traces_record;
"""


class Migration(migrations.Migration):
    dependencies = [("traces", "0001_initial")]

    operations = [migrations.RunSQL(TABLES, NO_TABLES)]
