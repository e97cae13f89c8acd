"""Mails are being sent when a hard stop falls: after its proof none is begun, and each is accounted for."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from agents.host import conninfo
from agents.postgres import Connection
from controlplane.chat.settle import BARRIER
from controlplane.effects import claims
from controlplane.effects import mailer as mailer_module
from controlplane.effects.claims import Claim
from controlplane.effects.models import Effect, ListedEffect
from controlplane.environment import MailServer
from controlplane.stops import actions
from controlplane.stops.models import Stop
from tests.effects.making import address_of, mailers, make_effect, states, stop
from tests.effects.server import SmtpServer, wait_until_stalling
from tests.factories import make_admin
from tests.loop_thread import LoopThread
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]

ROOT = Path(__file__).resolve().parents[2]
MAILS = 200
Served = tuple[SmtpServer, MailServer]
Begin = Callable[[Connection, Claim], Awaitable[bool]]


@pytest.fixture
def admin() -> User:
    return make_admin()


def wrongs(server: SmtpServer, halted: Stop, begun_at_proof: int) -> list[str]:
    """Return what must not be so, by the server's own record and the rows."""
    late = server.begun[begun_at_proof:]
    found = [f"{recipient} was begun after the proof" for recipient in late]
    listed = set(halted.listed_effects.values_list("effect__recipient", flat=True))
    for effect in Effect.objects.all():
        taken = server.recipients[effect.recipient]
        may_be = {"sent": {1}, "held": {0}, "failed": {0}, "unknown": {0, 1}}
        if taken not in may_be.get(effect.state, set()):
            found.append(
                f"{effect.recipient} is {effect.state}, the server has {taken}"
            )
        is_met = effect.error.startswith("It was not over when the stop")
        if is_met and effect.recipient not in listed:
            found.append(f"{effect.recipient} is unknown and not listed")
    return found


def settle_down(server: SmtpServer, loop_thread: LoopThread) -> None:
    """Let everything happen that can still happen: mailers look again, and nothing is under way."""
    loop_thread.run(server.let_go())
    probe = make_effect("probe")
    wait_for(lambda: Effect.objects.get(pk=probe.pk).state == "held")
    wait_for(lambda: not Effect.objects.filter(state="sending").exists())


def test_two_hundred_mails_are_being_sent_when_the_stop_falls(
    served: Served,
    loop_thread: LoopThread,
    admin: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, address = served
    monkeypatch.setattr(mailer_module, "SENDERS", 2)
    for number, fault in {
        5: "drop-end",
        7: "451-rcpt",
        9: "550-end",
        20: "stall-end",
        21: "stall-rcpt",
    }.items():
        server.fail(address_of(f"m{number}"), fault)
    for number in range(MAILS):
        make_effect(f"m{number}")

    with mailers(loop_thread, address, count=2):
        assert server.has_begun(40, within_s=20)
        halted = actions.prove_stop(stop(admin), prover=admin)
        begun, at_proof = len(server.begun), states()
        listed = list(halted.listed_effects.values_list("effect__recipient", flat=True))
        settle_down(server, loop_thread)

    assert wrongs(server, halted, begun) == []
    assert set(at_proof.values()) == {"sent", "held", "failed", "unknown"}
    assert (at_proof["m5"], at_proof["m9"]) == ("unknown", "failed")
    assert (at_proof["m7"], at_proof["m21"]) == ("held", "held")
    assert at_proof["m20"] == "unknown"
    assert address_of("m20") in listed
    assert states()["m20"] == "sent"  # its sender has learnt it since
    assert 40 <= begun < MAILS


@contextmanager
def widened(
    monkeypatch: pytest.MonkeyPatch, begin: Begin
) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Put a design's begin in place, which waits in its window: (it is there, it may go on)."""
    is_there, may_go_on = threading.Event(), threading.Event()

    async def wait() -> None:
        is_there.set()
        await asyncio.to_thread(may_go_on.wait, 10)

    async def wide(connection: Connection, mail: Claim) -> bool:
        monkeypatch.setattr(claims, "window", wait, raising=False)
        return await begin(connection, mail)

    with monkeypatch.context() as patch:
        patch.setattr(claims, "begin", wide)
        patch.setattr(mailer_module, "FRESH_S", 60)  # it is not saved by its haste
        yield is_there, may_go_on
        may_go_on.set()


READ = "SELECT 1 FROM stops_stop WHERE mode = 'hard' AND releasing_at IS NULL"
MARK = "UPDATE effects_effect SET begun_at = now(), state = 'sending', lease_until = now() + interval '1 minute' WHERE id = %s"


async def only_read(connection: Connection, mail: Claim) -> bool:
    row = await (await connection.execute(READ)).fetchone()
    await claims.window()  # type: ignore[attr-defined]
    return row is None


async def read_then_lock(connection: Connection, mail: Claim) -> bool:
    async with connection.transaction():
        row = await (await connection.execute(READ)).fetchone()
        await claims.window()  # type: ignore[attr-defined]
        await connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", [BARRIER])
        await connection.execute(MARK, [mail.id])
    return row is None


begin_as_it_is = claims.begin


async def as_it_is(connection: Connection, mail: Claim) -> bool:
    """The real one, with the window where the others have theirs."""
    await claims.window()  # type: ignore[attr-defined]
    return await begin_as_it_is(connection, mail)


@pytest.mark.parametrize(
    ("design", "leaks"), [(as_it_is, 0), (only_read, 1), (read_then_lock, 1)]
)
def test_the_checker_finds_designs_that_leak(
    served: Served,
    loop_thread: LoopThread,
    admin: User,
    monkeypatch: pytest.MonkeyPatch,
    design: Begin,
    leaks: int,
) -> None:
    server, address = served
    make_effect("a")

    with (
        mailers(loop_thread, address),
        widened(monkeypatch, design) as (is_there, may_go_on),
    ):
        assert is_there.wait(10)
        halted = actions.prove_stop(stop(admin), prover=admin)
        begun = len(server.begun)
        may_go_on.set()
        if leaks:
            wait_for(lambda: server.recipients[address_of("a")])
        settle_down(server, loop_thread)

    found = wrongs(server, halted, begun)
    assert found.count("a@customer.example was begun after the proof") == leaks


def test_a_frozen_sender_holds_up_no_proof_and_begins_nothing_when_it_wakes(
    served: Served, loop_thread: LoopThread, admin: User
) -> None:
    server, address = served
    server.fail(address_of("a"), "stall-end")
    server.fail(address_of("b"), "stall-rcpt")
    make_effect("a")
    make_effect("b")
    sender = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.effects.sender",
            conninfo(),
            address.host,
            str(address.port),
        ],
        cwd=ROOT,
    )
    try:
        wait_until_stalling(server, address_of("a"), address_of("b"))
        sender.send_signal(signal.SIGSTOP)
        started_s = time.monotonic()
        halted = actions.prove_stop(stop(admin), prover=admin)
        took_s = time.monotonic() - started_s
        assert states() == {"a": "unknown", "b": "held"}
        [listed] = ListedEffect.objects.filter(stop=halted).select_related("effect")
        assert (listed.effect.recipient, listed.was_unknown) == (address_of("a"), True)

        loop_thread.run(server.let_go())
        sender.send_signal(signal.SIGCONT)
        make_effect("c")

        wait_for(lambda: states() == {"a": "sent", "b": "held", "c": "held"})
        assert server.begun == [address_of("a")]
        assert wrongs(server, halted, 1) == []
        assert took_s < 5
        assert sender.poll() is None
    finally:
        sender.send_signal(signal.SIGCONT)
        sender.terminate()
        sender.wait(10)
