"""What the gate of effects outside, and a hard stop, say to PostgreSQL about them."""

# What a hard stop covers, unless a person decided on it after the stop.
_COVERS = """
s.mode = 'hard' AND (e.decided_at IS NULL OR e.decided_at <= s.requested_at)
  AND CASE s.scope WHEN 'everything' THEN true
    WHEN 'workflow' THEN s.value = e.workflow WHEN 'agent' THEN s.value = ANY(e.agents)
    WHEN 'tier' THEN s.value = e.tier ELSE s.value = e.conversation_id END
"""
_IS_STOPPED = """
EXISTS (SELECT 1 FROM stops_stop s WHERE s.releasing_at IS NULL AND :covers)
"""
_LOG = """
INSERT INTO audit_entry (at, actor, action, subject, trace_id, detail)
SELECT clock_timestamp(), %(actor)s, 'mail_' || c.state, 'effect:' || c.id, c.trace_id,
  jsonb_strip_nulls(jsonb_build_object('record', c.record_id, 'attempt', c.attempts,
    'error', nullif(c.error, ''), 'stop', c.stop_id))
FROM changed c
"""


def _whole(statement: str) -> str:
    """Put in the parts that several share."""
    for name, part in (("is_stopped", _IS_STOPPED), ("covers", _COVERS), ("log", _LOG)):
        statement = statement.replace(f":{name}", part.strip())
    return statement


# A sender passes by the rows that somebody works on, and comes again; a proof waits for them.
HOLD_SOME = _whole("""
WITH found AS MATERIALIZED (
  SELECT e.id, first.id AS stop FROM effects_effect e CROSS JOIN LATERAL (
    SELECT s.id FROM stops_stop s WHERE s.releasing_at IS NULL AND :covers
    ORDER BY s.requested_at, s.id LIMIT 1) first
  WHERE e.state = 'waiting' OR (e.state = 'sending' AND e.begun_at IS NULL)
  ORDER BY e.id LIMIT 1000 FOR UPDATE OF e SKIP LOCKED
), changed AS (
  UPDATE effects_effect e SET state = 'held', stop_id = found.stop, lease_until = NULL,
    error = '', changed_at = clock_timestamp()
  FROM found WHERE e.id = found.id
  RETURNING e.id, e.trace_id, e.record_id, e.attempts, e.error, e.stop_id, e.state
) :log
""")
HOLD_ALL = HOLD_SOME.replace(
    "LIMIT 1000 FOR UPDATE OF e SKIP LOCKED", "FOR UPDATE OF e"
)
# Of a sender that died: what it had not begun nobody has, of the rest nobody here knows.
EXPIRE = _whole("""
WITH found AS MATERIALIZED (
  SELECT id FROM effects_effect
  WHERE state = 'sending' AND lease_until < statement_timestamp()
  ORDER BY id FOR UPDATE SKIP LOCKED
), changed AS (
  UPDATE effects_effect e SET
    state = CASE WHEN e.begun_at IS NULL THEN 'waiting' ELSE 'unknown' END,
    lease_until = CASE WHEN e.begun_at IS NULL THEN NULL ELSE e.lease_until END,
    error = 'Its sender fell silent.', changed_at = clock_timestamp()
  FROM found WHERE e.id = found.id
  RETURNING e.id, e.trace_id, e.record_id, e.attempts, e.error, NULL::uuid AS stop_id, e.state
) :log
""")
# What had begun under a stop, and is not over, at its proof.
LIST = _whole("""
INSERT INTO effects_listedeffect (stop_id, effect_id, was_unknown)
SELECT s.id, e.id, false FROM stops_stop s JOIN effects_effect e ON :covers
WHERE s.id = %(stop)s AND e.state = 'sending' AND e.begun_at IS NOT NULL
ON CONFLICT (stop_id, effect_id) DO NOTHING
""")
# All of it in one trip; a proof waits for it.
_IS_ANY_LISTED = (
    "SELECT EXISTS (SELECT FROM effects_listedeffect WHERE stop_id = %(stop)s)"
)
MEET = ";".join([HOLD_ALL, LIST, _IS_ANY_LISTED])
GIVE_UP = _whole("""
WITH found AS MATERIALIZED (
  SELECT e.id FROM effects_effect e JOIN effects_listedeffect l ON l.effect_id = e.id
  WHERE l.stop_id = %(stop)s AND e.state = 'sending' AND e.begun_at IS NOT NULL
  ORDER BY e.id FOR UPDATE OF e
), changed AS (
  UPDATE effects_effect e SET state = 'unknown', changed_at = clock_timestamp(),
    error = 'It was not over when the stop was proven.'
  FROM found WHERE e.id = found.id
  RETURNING e.id, e.trace_id, e.record_id, e.attempts, e.error, %(stop)s::uuid AS stop_id, e.state
), marked AS (
  UPDATE effects_listedeffect l SET was_unknown = true FROM changed
  WHERE l.stop_id = %(stop)s AND l.effect_id = changed.id
) :log
""")
READY = """
SELECT count(*) FROM (
  SELECT 1 FROM effects_effect
  WHERE state = 'waiting' AND next_try_at <= statement_timestamp() LIMIT %s) ready
"""
ENTER = "SELECT pg_advisory_xact_lock_shared(%s)"
TAKE = _whole("""
WITH taken AS MATERIALIZED (
  SELECT e.id FROM effects_effect e
  WHERE e.state = 'waiting' AND e.next_try_at <= statement_timestamp() AND NOT :is_stopped
  ORDER BY e.next_try_at, e.id LIMIT 1 FOR UPDATE OF e SKIP LOCKED
)
UPDATE effects_effect e SET state = 'sending', attempts = e.attempts + 1, sender = %(sender)s,
  lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s), begun_at = NULL,
  changed_at = clock_timestamp()
FROM taken WHERE e.id = taken.id
RETURNING e.id, e.attempts, e.record_id, e.recipient, e.subject, e.text, e.created_at
""")
BEGIN = _whole("""
UPDATE effects_effect e SET begun_at = clock_timestamp(),
  lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE e.id = %(id)s AND e.attempts = %(attempt)s AND e.state = 'sending' AND NOT :is_stopped
RETURNING 1
""")
# Who was refused for now waits longer each time, and not for ever.
FINISH = _whole("""
WITH known AS MATERIALIZED (
  SELECT e.id, CASE WHEN %(state)s <> 'waiting' OR %(error)s = '' OR statement_timestamp()
      < greatest(e.created_at, e.decided_at) + make_interval(secs => %(gave_up_s)s)
    THEN %(state)s ELSE 'failed' END AS state
  FROM effects_effect e
  WHERE e.id = %(id)s AND e.attempts = %(attempt)s AND e.state = ANY(%(origins)s) FOR UPDATE
), changed AS (
  UPDATE effects_effect e SET state = known.state, error = %(error)s,
    lease_until = CASE WHEN known.state = 'unknown' THEN e.lease_until END,
    next_try_at = clock_timestamp() + CASE WHEN %(error)s = '' THEN interval '0'
      ELSE make_interval(secs => %(pause_s)s * 2 ^ least(e.attempts - 1, %(doublings)s)) END,
    changed_at = clock_timestamp()
  FROM known WHERE e.id = known.id
  RETURNING e.id, e.trace_id, e.record_id, e.attempts, e.error, NULL::uuid AS stop_id, e.state
), logged AS (:log)
SELECT state FROM changed
""")
# What became known too late to count: a person reads it.
NOTE = """
UPDATE effects_effect SET error = %(error)s
WHERE id = %(id)s AND attempts = %(attempt)s AND state = 'unknown' AND %(error)s <> ''
"""
# An earlier attempt was sent although people, or another sender, have gone on since.
LATE = _whole("""
WITH changed AS (
  UPDATE effects_effect e SET error = 'An earlier attempt has been sent after all.'
  WHERE e.id = %(id)s AND NOT (e.attempts = %(attempt)s AND e.state = 'sent')
  RETURNING e.id, e.trace_id, e.record_id, %(attempt)s AS attempts, e.error,
    NULL::uuid AS stop_id, 'sent_late' AS state
) :log
""")
