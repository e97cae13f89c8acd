import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from structlog.typing import EventDict

from agents import clock, rule_sets
from agents import control as control_module
from agents.clock import now_s
from agents.control import MAX_AGE_S, POLL_S, Control
from agents.control_state import ControlState, Published, Route, Stop, oldest_of
from agents.host import conninfo
from agents.rule_sets import RuleSetError, RuleSets, fetch_engine
from controlplane.embedded.services import Services
from controlplane.routing.actions import route_tier
from controlplane.routing.models import Backend
from controlplane.runtime.actions import change_control, switch_agent
from controlplane.stops.actions import release_stop, request_stop
from guardrails import scanner
from guardrails.actions import publish as publish_draft
from guardrails.actions import put_in_force, save_rules
from guardrails.context import Context as About
from guardrails.dealer import DEALER
from guardrails.engine import Engine
from guardrails.models import CompiledSet, RuleSet
from guardrails.models import Rule as RuleRow
from guardrails.rules import Rule, encode_rule_set, ruleset_hash
from guardrails.verdicts import Verdict
from tests.agents.stage import FreshControl, Stage, committed, texts
from tests.factories import make_admin
from tests.guardrails.factories import make_set
from tests.rulebook.making import BRANDS
from tests.waiting import wait_for

Make = Callable[..., Control]


@pytest.fixture
def admin(transactional_db: None) -> User:
    return make_admin()


@pytest.fixture
def rules(admin: User) -> RuleSet:
    """The dealer's rules, in force."""
    stored = RuleSet.objects.create(
        hash=ruleset_hash(DEALER), body=encode_rule_set(DEALER)
    )
    put_in_force(stored, reason="Start", publisher=admin)
    return stored


@pytest.fixture
def follow(transactional_db: None) -> Iterator[Make]:
    """Start followers, and stop them."""
    started: list[Control] = []

    def start(**options: Any) -> Control:
        control = Control(
            options.pop("conninfo", "") or conninfo(),
            rule_sets=RuleSets(conninfo()),
            **options,
        )
        started.append(control)
        control.start()
        return control

    yield start
    for control in started:
        control.stop()


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


def why(control: Control, tier: str = "") -> str:
    return control.why_not("guard", "chat", tier)


# Following


def test_a_follower_takes_over_what_people_control(
    rules: RuleSet, admin: User, follow: Make
) -> None:
    backend = Backend.objects.create(name="demo", model="m", timeout_s=7)
    route_tier("pro", backend=backend, fallback_text="Sorry.", reason="x", actor=admin)
    switch_agent("guard", paused=True, reason="x", actor=admin)

    control = follow()
    wait_for(lambda: why(control) == "switched off")

    assert control.state.routes == (
        Route(
            tier="pro",
            backend="demo",
            base_url="",
            model="m",
            key_variable="OPENAI_API_KEY",
            timeout_s=7.0,
            fallback_text="Sorry.",
        ),
    )
    assert control.state.ruleset_hash == rules.hash
    assert control.engine is not None
    assert control.why_not("other", "chat") == ""


def test_a_change_is_applied_by_its_notification_and_not_by_the_poll(
    rules: RuleSet, admin: User, follow: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "POLL_S", 60)
    control = follow()
    wait_for(lambda: control.engine)

    version = change_control(kind="test", subject="x", actor=admin, reason="x")

    wait_for(lambda: control.state.version == version, timeout_s=5)
    control._stopping.set()
    change_control(kind="test", subject="wakes it", actor=admin, reason="x")


def test_a_change_whose_notification_is_lost_is_found_by_the_poll(
    rules: RuleSet, follow: Make
) -> None:
    control = follow()
    wait_for(lambda: control.engine)

    with psycopg.connect(conninfo(), autocommit=True) as connection:
        connection.execute("UPDATE runtime_controlversion SET version = version + 1")
        row = connection.execute(
            "SELECT version FROM runtime_controlversion"
        ).fetchone()

    wait_for(lambda: row and control.state.version == row[0], timeout_s=5)


def test_a_version_that_goes_back_is_followed_too(rules: RuleSet, follow: Make) -> None:
    """As after a database was restored from a backup."""
    control = follow()
    wait_for(lambda: control.engine)

    with psycopg.connect(conninfo(), autocommit=True) as connection:
        connection.execute("UPDATE runtime_controlversion SET version = 0")
    try:
        wait_for(lambda: control.state.version == 0, timeout_s=5)
    finally:
        with psycopg.connect(conninfo(), autocommit=True) as connection:
            connection.execute("UPDATE runtime_controlversion SET version = 1")


def test_what_is_read_is_one_snapshot(rules: RuleSet, admin: User) -> None:
    """A stop and a route that change together are never seen apart."""
    backend = Backend.objects.create(name="demo", model="m")
    ended = threading.Event()

    def flip() -> None:
        try:
            for _ in range(30):
                with transaction.atomic():
                    stop = request_stop(
                        mode="soft", scope="everything", reason="x", requester=admin
                    )
                    _route(backend, "stopped", admin)
                with transaction.atomic():
                    _route(backend, "running", admin)
                    release_stop(stop, reason="x", releaser=admin)
        finally:
            ended.set()
            connections.close_all()

    _route(backend, "running", admin)
    control = Control("")
    thread = threading.Thread(target=flip)
    thread.start()
    with psycopg.connect(conninfo(), autocommit=True) as connection:
        seen = set()
        while not ended.is_set():
            control.refresh(connection)
            if control.state.routes:
                seen.add(
                    (bool(control.state.stops), control.state.routes[0].fallback_text)
                )
    thread.join()

    assert seen <= {(True, "stopped"), (False, "running")}
    assert len(seen) == 2


def _route(backend: Backend, text: str, admin: User) -> None:
    route_tier("free", backend=backend, fallback_text=text, reason="x", actor=admin)


def test_each_look_is_told_with_whether_it_found_a_change(
    rules: RuleSet, follow: Make
) -> None:
    ticks: list[bool] = []

    def tick(connection: Any, changed: bool) -> float:  # noqa: FBT001
        ticks.append(changed)
        return 0.01 if len(ticks) < 3 else 60

    began_s = time.monotonic()
    control = follow(on_tick=tick)

    wait_for(lambda: len(ticks) > 2)
    assert ticks[:3] == [True, False, False]
    assert time.monotonic() - began_s < 2 * POLL_S  # it looked when it was told to
    wait_for(lambda: len(ticks) > 3)  # and at the latest after POLL_S
    assert control.age_s < 3


# What goes wrong


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b'{"rules": [{"id": 1}]}',
        b'{"rules": []}',
        b'{"rules": [], "new": 1}',
    ],
    ids=["empty", "no JSON", "no rule", "other content", "of a newer version"],
)
def test_a_broken_rule_set_is_refused_and_everything_holds_until_there_is_a_good_one(
    rules: RuleSet,
    admin: User,
    follow: Make,
    body: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control_module, "MAX_AGE_S", 0.5)
    monkeypatch.setattr(control_module, "POLL_S", 0.1)
    control = follow()
    wait_for(lambda: why(control) == "" and control.engine)
    engine = control.engine

    broken = RuleSet.objects.create(hash="f" * 64, body=body)
    put_in_force(broken, reason="x", publisher=admin)

    wait_for(lambda: "older than" in why(control))
    assert control.engine is engine
    assert control.state.ruleset_hash == rules.hash

    put_in_force(rules, reason="back", publisher=admin)
    wait_for(lambda: why(control) == "")


def test_nothing_starts_before_a_rule_set_is_published(
    transactional_db: None, follow: Make
) -> None:
    control = follow()
    wait_for(lambda: control.age_s < MAX_AGE_S)

    assert why(control) == "no rule-set is published"
    assert control.engine is None


def test_a_rule_set_that_is_not_stored_is_refused(rules: RuleSet) -> None:
    with pytest.raises(RuleSetError, match="not stored"):
        fetch_engine(conninfo(), "0" * 64)


def test_a_database_without_a_version_row_is_no_permission(rules: RuleSet) -> None:
    control = FreshControl()
    with psycopg.connect(conninfo()) as connection:
        connection.execute("UPDATE runtime_controlversion SET id = id")
        connection.execute("CREATE TEMP TABLE runtime_controlversion (version bigint)")

        assert control.refresh(connection) is False
        connection.rollback()
    assert control._read_at_s == float("-inf")


def test_a_tick_that_fails_does_not_end_the_follower(
    rules: RuleSet, follow: Make
) -> None:
    ticks: list[int] = []

    def tick(connection: Any, changed: bool) -> float:  # noqa: FBT001
        ticks.append(1)
        if len(ticks) < 3:
            raise AttributeError("a runner was just being replaced")
        return POLL_S

    control = follow(on_tick=tick)

    wait_for(lambda: len(ticks) >= 3)
    assert control.age_s < 3


def test_a_database_that_is_away_at_the_start_is_waited_for(
    rules: RuleSet, follow: Make, logs: list[EventDict]
) -> None:
    control = follow(conninfo="host=127.0.0.1 port=1 connect_timeout=1")

    wait_for(lambda: [line for line in logs if line["event"] == "control_not_followed"])
    assert "older than" in why(control)

    control._conninfo = conninfo()
    wait_for(lambda: why(control) == "")


def test_a_follower_that_is_stopped_while_it_waits_to_try_again_ends(
    rules: RuleSet, follow: Make, logs: list[EventDict]
) -> None:
    control = follow(conninfo="host=127.0.0.1 port=1 connect_timeout=1")
    wait_for(lambda: logs)

    control.stop()

    assert not control._thread.is_alive()
    tries = len(logs)
    control._follow()  # as its back-off does last
    assert len(logs) == tries


@pytest.mark.long
def test_a_restart_of_the_database_is_survived(
    services: Services, rules: RuleSet, admin: User, follow: Make
) -> None:
    assert services.postgres is not None
    control = follow()
    wait_for(lambda: control.engine)
    try:
        services.postgres.kill()
    finally:
        services.postgres.start()
        connections["default"].close()
        connections["default"].close_pool()  # type: ignore[attr-defined]

    version = change_control(kind="test", subject="x", actor="ada", reason="x")

    wait_for(lambda: control.state.version == version)
    assert why(control) == ""


@pytest.mark.usefixtures("rules")
def test_state_that_grows_old_holds_the_agents_and_they_go_on_by_themselves(
    services: Services, follow: Make, stage: Stage
) -> None:
    assert services.postgres is not None
    control = follow()
    agent = stage.agent()
    running = stage.start(agent, control=control)
    stage.send_all(agent.reads[0], ["before"])
    wait_for(lambda: texts(agent.writes[0]) == ["before"])

    services.postgres.freeze()
    try:
        wait_for(lambda: "older than 3 s" in why(control))
        assert control.age_s > 3
        stage.send_all(agent.reads[0], ["while"])
        wait_for(lambda: running.runner.status()["state"] == "held")
        assert texts(agent.writes[0]) == ["before"]
    finally:
        services.postgres.thaw()

    wait_for(lambda: texts(agent.writes[0]) == ["before", "while"])
    wait_for(lambda: sum(committed(agent).values()) == 2)


def test_the_clock_counts_while_the_machine_sleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    control = Control("")
    assert control.age_s == float("inf")

    control._read_at_s = now_s()
    assert control.age_s < 1
    assert clock._CLOCK == time.CLOCK_BOOTTIME

    asleep = now_s() + 3.5
    monkeypatch.setattr(control_module, "now_s", lambda: asleep)
    assert "older than" in why(control)


# Rules


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Rule-sets are made ready only once this is set."""
    may_go_on = threading.Event()

    def fetch(conninfo: str, wanted: str) -> Engine:
        assert may_go_on.wait(20)
        return fetch_engine(conninfo, wanted)

    monkeypatch.setattr(rule_sets, "fetch_engine", fetch)
    yield may_go_on
    may_go_on.set()


def publish(admin: User, *rules: Rule) -> str:
    """Publish these alone, and return their hash."""
    RuleRow.objects.all().delete()
    save_rules(make_set(*rules), editor=admin)
    return publish_draft(reason="x", publisher=admin).rule_set_id


def test_no_stop_waits_for_rules_that_are_compiled(
    rules: RuleSet,
    admin: User,
    follow: Make,
    slowly: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slowly.set()
    control = follow()
    wait_for(lambda: why(control) == "")
    before = control.engine
    assert before is not None
    slowly.clear()

    wanted = publish(admin, BRANDS)
    request_stop(mode="soft", scope="agent", value="guard", reason="x", requester=admin)

    wait_for(lambda: why(control) == "soft stop (agent guard)", timeout_s=2)
    assert control.state.published.ruleset_hash == wanted
    assert (control.engine, control.state.ruleset_hash) == (before, rules.hash)
    assert control.is_in_force(
        before
    )  # it may take as long as control state may be old
    assert control.why_not("other", "chat") == ""
    monkeypatch.setattr(control_module, "MAX_AGE_S", 0.2)
    wait_for(lambda: "not ready" in control.why_not("other", "chat"))
    assert not control.is_in_force(before)

    slowly.set()
    wait_for(lambda: control.why_not("other", "chat") == "")
    engine = control.engine
    assert engine is not None
    assert engine.ruleset_hash == control.state.ruleset_hash == wanted
    assert control.is_in_force(engine)
    assert not control.is_in_force(before)


def test_of_two_rule_sets_the_later_one_is_taken_whichever_was_ready_first(
    rules: RuleSet, admin: User, follow: Make, slowly: threading.Event
) -> None:
    control = follow()
    wait_for(lambda: control.state.published.ruleset_hash == rules.hash)
    seen: set[str] = set()

    latest = publish(admin, BRANDS)
    wait_for(lambda: control.state.published.ruleset_hash == latest)
    slowly.set()

    def is_ruled() -> bool:
        seen.add(control.state.ruleset_hash)
        return control.state.is_ruled

    wait_for(is_ruled)
    assert seen <= {"", latest}


def test_what_was_compiled_for_publishing_is_not_compiled_again(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = publish(admin, BRANDS)
    compiled: list[int] = []
    compile_anew = scanner.compile_database

    def counted(expressions: Any, flags: Any) -> Any:
        compiled.append(len(expressions))
        return compile_anew(expressions, flags)

    monkeypatch.setattr(scanner, "compile_database", counted)
    about = About(direction="output", tier="free", workflow="chat")

    def verdict() -> Verdict:
        return fetch_engine(conninfo(), wanted).check("a Tesla", about)

    loaded = verdict()
    assert (loaded.action, loaded.ruleset_hash, compiled) == ("replace", wanted, [])
    CompiledSet.objects.update(body=b"of another kind of machine")
    assert verdict() == loaded
    CompiledSet.objects.all().delete()
    assert verdict() == loaded
    assert len(compiled) == 2


def test_all_obey_what_the_slowest_obeys() -> None:
    def state(version: int, ruled: str, published: str) -> ControlState:
        return ControlState(
            version=version,
            ruleset_hash=ruled,
            published=Published(id=version, ruleset_hash=published),
        )

    old, new, ruled = state(1, "a", "a"), state(2, "a", "b"), state(2, "b", "b")

    assert oldest_of([old, ruled], latest=ruled) == old
    assert oldest_of([new, ruled], latest=ruled) == new
    assert oldest_of([ruled, ruled], latest=ruled) == ruled
    assert oldest_of([], latest=new) == new
    assert [each.is_ruled for each in (old, new, ruled)] == [True, False, True]


# What a stop covers

SCOPES = ("workflow", "agent", "tier", "conversation")
NAMES = st.sampled_from(["a", "b"])


@given(
    scope=st.sampled_from(["everything", *SCOPES]),
    value=NAMES,
    facts=st.dictionaries(st.sampled_from(SCOPES), NAMES),
)
def test_a_stop_covers_everything_or_what_its_scope_names(
    scope: Any, value: str, facts: dict[str, str]
) -> None:
    stop = Stop(
        id="1", mode="soft", scope=scope, value="" if scope == "everything" else value
    )

    assert stop.covers(**facts) == (scope == "everything" or facts.get(scope) == value)


@given(
    stops=st.lists(
        st.tuples(
            st.sampled_from(["soft", "hard"]),
            st.sampled_from(["everything", "workflow", "agent", "tier"]),
            st.sampled_from(["guard", "chat", "pro", "other"]),
        ),
        max_size=4,
    ),
    tier=st.sampled_from(["pro", "free", ""]),
)
def test_an_agent_is_held_by_any_soft_stop_that_covers_it(
    stops: list[tuple[Literal["soft", "hard"], Any, str]], tier: str
) -> None:
    names = {"workflow": "chat", "agent": "guard", "tier": tier}
    state = ControlState(
        version=1,
        stops=tuple(
            Stop(id=str(n), mode=mode, scope=scope, value=value)
            for n, (mode, scope, value) in enumerate(stops)
        ),
    )

    held = why(FreshControl(state), tier=tier)

    assert bool(held) == any(
        mode == "soft" and (scope == "everything" or names[scope] == value)
        for mode, scope, value in stops
    )


def test_a_tier_without_a_route_takes_that_of_the_free_tier() -> None:
    def route(tier: str) -> Route:
        return Route(
            tier=tier,
            backend=tier,
            base_url="",
            model="m",
            key_variable="K",
            timeout_s=1,
            fallback_text="x",
        )

    state = ControlState(routes=(route("free"), route("pro")))

    assert state.route("pro") == route("pro")
    assert state.route("enterprise") == route("free")
    assert ControlState(routes=(route("pro"),)).route("free") is None
