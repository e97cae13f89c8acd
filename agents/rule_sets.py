"""The rule-set in force, fetched by its hash and made ready in a thread of its own."""

import threading

import psycopg
import structlog
from tenacity import Retrying, wait_exponential_jitter

from guardrails.engine import Engine, compile_rules
from guardrails.rules import decode_rule_set, ruleset_hash

log = structlog.get_logger()

_FETCH = """
SELECT r.body, c.body FROM guardrails_ruleset r
LEFT JOIN guardrails_compiledset c ON c.rule_set_id = r.hash WHERE r.hash = %s
"""


class RuleSetError(Exception):
    """The published rule-set cannot be read as what its hash says."""


class RuleSets:
    """Makes ready what is asked for last; nobody waits for it, and whoever wants it takes it whole."""

    def __init__(self, conninfo: str) -> None:
        self.ready: Engine | None = None
        self._conninfo = conninfo
        self._wanted = ""
        self._rests = False
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rules", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What is just being compiled is left behind in its thread."""
        self._stopping.set()
        self._woken.set()

    def want(self, wanted: str) -> None:
        if wanted != self._wanted:
            self._wanted = wanted
            self._woken.set()

    @property
    def is_making(self) -> bool:
        """Tell whether what is wanted may be ready at any moment."""
        ready = self.ready
        is_there = ready is not None and ready.ruleset_hash == self._wanted
        return bool(self._wanted) and not is_there and not self._rests

    def _run(self) -> None:
        """Try for ever, whatever happens: without the rules in force every agent holds for good."""
        retrying = Retrying(
            wait=wait_exponential_jitter(multiplier=0.1, max=1.0),
            sleep=self._sleep,
            before_sleep=lambda attempt: log.warning(
                "rule_set_not_ready",
                ruleset=self._wanted,
                reason=repr(attempt.outcome and attempt.outcome.exception()),
            ),
        )
        while not self._stopping.is_set():
            self._woken.wait()
            self._woken.clear()
            retrying(self._make)

    def _sleep(self, seconds: float) -> None:
        self._rests = True
        self._woken.wait(seconds)
        self._woken.clear()

    def _make(self) -> None:
        self._rests = False
        if self.is_making and not self._stopping.is_set():
            self.ready = fetch_engine(self._conninfo, self._wanted)


def fetch_engine(conninfo: str, wanted: str) -> Engine:
    """RuleSetError if it is not stored, or is not what its hash says."""
    with psycopg.connect(
        conninfo,
        autocommit=True,
        connect_timeout=3,
        tcp_user_timeout=5_000,  # ms
        application_name="interlock-rules",
    ) as connection:
        row = connection.execute(_FETCH, [wanted], binary=True).fetchone()
    if row is None:
        raise RuleSetError(f"rule-set {wanted} is published but not stored")
    body, compiled = row
    rule_set = decode_rule_set(bytes(body))
    if ruleset_hash(rule_set) != wanted:
        raise RuleSetError(f"rule-set {wanted} does not have the content of its hash")
    return compile_rules(rule_set, bytes(compiled or b""))
