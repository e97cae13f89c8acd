"""Control state as agents see it: followed from PostgreSQL, obeyed only while it is fresh."""

import threading
from collections.abc import Callable, Hashable

import msgspec
import psycopg
import structlog
from msgspec.structs import replace
from tenacity import Retrying, wait_exponential_jitter

from agents.clock import now_s
from agents.control_state import ControlState, Ramp
from agents.ramp import Slots
from agents.rule_sets import RuleSets
from guardrails.engine import Engine

log = structlog.get_logger()

MAX_AGE_S = 3.0
POLL_S = 1.0
SOON_S = 0.02  # while rules are made ready
CHANNEL = "interlock_control"

Connection = psycopg.Connection[tuple[object, ...]]


# One statement is one snapshot: no half of one version and half of another.
_READ = """
SELECT json_build_object(
  'version', version,
  'changed_at_ms', extract(epoch FROM changed_at) * 1000,
  'stops', (SELECT coalesce(json_agg(json_build_object(
      'id', id::text, 'mode', mode, 'scope', scope, 'value', value)), '[]')
    FROM stops_stop WHERE releasing_at IS NULL),
  'ramps', (SELECT coalesce(json_agg(json_build_object(
      'id', id::text, 'scope', scope, 'value', value, 'per_s', ramp_per_s)), '[]')
    FROM stops_stop WHERE releasing_at IS NOT NULL AND released_at IS NULL
      AND ramp_per_s IS NOT NULL),
  'routes', (SELECT coalesce(json_agg(json_build_object(
      'tier', t.name, 'backend', b.name, 'base_url', b.base_url, 'model', b.model,
      'key_variable', b.key_variable, 'timeout_s', b.timeout_s,
      'fallback_text', t.fallback_text)), '[]')
    FROM routing_tier t JOIN routing_backend b ON b.id = t.backend_id),
  'paused_agents', (SELECT coalesce(json_agg(agent), '[]')
    FROM runtime_agentswitch WHERE paused),
  'published', coalesce((SELECT json_build_object('id', id, 'ruleset_hash', rule_set_id,
      'at_ms', extract(epoch FROM published_at) * 1000)
    FROM guardrails_publication ORDER BY id DESC LIMIT 1), '{}'))::text
FROM runtime_controlversion
"""


class Control:
    """Follows control state in a thread of its own. Readers take a snapshot without a lock."""

    def __init__(
        self,
        conninfo: str,
        *,
        on_tick: Callable[[Connection, bool], float] | None = None,
        rule_sets: RuleSets | None = None,
    ) -> None:
        """on_tick(connection, changed) runs in the thread after each look, and says when the next is due, in s.

        rule_sets: for who judges. Without it there is never an engine.
        """
        self.state = ControlState()
        self.engine: Engine | None = None
        self.slots = Slots()
        self._conninfo = conninfo
        self._on_tick = on_tick
        self._rule_sets = rule_sets
        self._read_at_s = float("-inf")
        self._ruled_at_s = float("-inf")  # when the rules obeyed were those in force
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        if self._rule_sets is not None:
            self._rule_sets.start()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._rule_sets is not None:
            self._rule_sets.stop()
        self._thread.join(timeout=5)

    @property
    def age_s(self) -> float:
        return now_s() - self._read_at_s

    @property
    def rules_age_s(self) -> float:
        return now_s() - self._ruled_at_s

    def is_in_force(self, engine: Engine) -> bool:
        """Tell whether a verdict of it may be given now."""
        is_fresh = max(self.age_s, self.rules_age_s) <= MAX_AGE_S
        return is_fresh and engine is self.engine

    def why_not(self, agent: str, workflow: str, tier: str = "") -> str:
        """Return why the agent may not start a record now, or nothing if it may."""
        if self.age_s > MAX_AGE_S:
            return "control state is older than 3 s"
        if self.rules_age_s > MAX_AGE_S and (why := self._why_no_rules()):
            return why
        state = self.state
        if agent in state.paused_agents:
            return "switched off"
        for stop in state.stops:
            if stop.mode == "soft" and stop.covers(
                agent=agent, workflow=workflow, tier=tier
            ):
                return f"soft stop ({stop.scope} {stop.value})".replace(" )", ")")
        return ""

    def _why_no_rules(self) -> str:
        if not self.state.published.ruleset_hash:
            return "no rule-set is published"
        if self._rule_sets is None:  # who judges nothing does not know who is ready
            return ""
        return "the rules in force are not ready, and those here older than 3 s"

    def has_slot(self, agent: str, workflow: str, tier: str, record: Hashable) -> bool:
        """Tell whether a release's ramp lets this record start now; if so, that uses it up."""
        ramps: list[Ramp] = [
            ramp
            for ramp in self.state.ramps
            if ramp.covers(agent=agent, workflow=workflow, tier=tier)
        ]
        return not ramps or self.slots.take(ramps, agent, record)

    def _run(self) -> None:
        """Follow for ever, whatever happens: without a follower every agent holds for good."""
        retrying = Retrying(
            wait=wait_exponential_jitter(multiplier=0.1, max=1.0),
            sleep=self._sleep,
            before_sleep=lambda attempt: log.warning(
                "control_not_followed",
                reason=repr(attempt.outcome and attempt.outcome.exception()),
            ),
        )
        while not self._stopping.is_set():
            retrying(self._follow)

    def _sleep(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _follow(self) -> None:
        if self._stopping.is_set():
            return
        with psycopg.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=3,
            tcp_user_timeout=5_000,  # ms: a network that dropped us in silence
            keepalives_idle=5,
            keepalives_interval=2,
            application_name="interlock-control",
        ) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            while not self._stopping.is_set():
                changed = self.refresh(connection)
                poll_s = SOON_S if self._is_soon_ruled else POLL_S
                wait_s = min(poll_s, self.slots.draw(connection, self.state.ramps))
                if self._on_tick is not None:
                    wait_s = min(wait_s, self._on_tick(connection, changed))
                for _ in connection.notifies(timeout=wait_s, stop_after=1):
                    pass

    @property
    def _is_soon_ruled(self) -> bool:
        return self._rule_sets is not None and self._rule_sets.is_making

    def refresh(self, connection: Connection) -> bool:
        """Look once; return whether anything was taken over."""
        started_s = now_s()
        row = connection.execute(
            "SELECT version FROM runtime_controlversion"
        ).fetchone()
        changed = row is not None and row[0] != self.state.version
        if changed:
            self._take_over(connection)
        ruled = self._take_rules()
        if row is not None:
            self._read_at_s = started_s
            if self.engine is not None and self.state.is_ruled:
                self._ruled_at_s = started_s
        return changed or ruled

    def _take_over(self, connection: Connection) -> None:
        """Everything but the rules, for which no stop waits."""
        row = connection.execute(_READ).fetchone()
        assert row is not None
        state = msgspec.json.decode(str(row[0]), type=ControlState)
        self.state = replace(state, ruleset_hash=self.state.ruleset_hash)
        if self._rule_sets is not None:
            self._rule_sets.want(state.published.ruleset_hash)
        log.info("control_applied", version=state.version)

    def _take_rules(self) -> bool:
        """First the engine: who has seen the new hash never gets the old one."""
        engine = self._rule_sets.ready if self._rule_sets is not None else None
        if engine is None or self.state.is_ruled:
            return False
        if engine.ruleset_hash != self.state.published.ruleset_hash:
            return False
        self.engine = engine
        self.state = replace(self.state, ruleset_hash=engine.ruleset_hash)
        log.info("rules_applied", ruleset=engine.ruleset_hash)
        return True
