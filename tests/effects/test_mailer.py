"""What the mailer makes of everything that a mail server can do."""

from typing import Any

import pytest

from agents.agent import UnavailableError
from agents.clock import now_s
from controlplane.effects import actions
from controlplane.effects import mailer as mailer_module
from controlplane.effects.mailer import Mailer
from controlplane.effects.models import Effect
from controlplane.environment import MailServer
from tests.effects.making import address_of, mailers, make_effect, states, stop
from tests.effects.server import SmtpServer, wait_until_stalling
from tests.factories import make_admin
from tests.loop_thread import LoopThread
from tests.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]

Served = tuple[SmtpServer, MailServer]


def test_each_answer_of_the_server_has_its_own_end(
    served: Served, loop_thread: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, address = served
    faults = {
        "later": "451-rcpt",
        "never": "550-rcpt",
        "full": "452-data",
        "spam": "554-end",
        "busy": "421-end",
        "gone": "drop-rcpt",
        "cut": "drop-data",
        "lost": "drop-end",
    }
    for name, fault in faults.items():
        server.fail(address_of(name), fault)
    for name in ["bo", *faults, "cy"]:
        make_effect(name)
    make_effect("two\nlines", subject="x")
    make_effect("odd", subject="a\r\nBcc: all@example.com")

    with mailers(loop_thread, address):
        wait_for(
            lambda: (
                not Effect.objects.filter(state="sending").exists()
                and not Effect.objects.filter(state="waiting", attempts=0).exists()
            )
        )

    assert states() == {
        "bo": "sent",
        "cy": "sent",
        "later": "waiting",
        "full": "waiting",
        "busy": "waiting",
        "gone": "waiting",
        "never": "failed",
        "spam": "failed",
        "two\nlines": "failed",
        "odd": "failed",
        "cut": "unknown",
        "lost": "unknown",
    }
    assert dict(server.recipients) == {address_of("bo"): 1, address_of("cy"): 1}


def test_a_server_that_is_away_costs_no_mail_a_try(
    loop_thread: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = MailServer("127.0.0.1", 1, "", "", "none", "us@interlock.example")
    make_effect("bo")

    with mailers(loop_thread, nowhere) as [mailer]:
        wait_for(lambda: mailer.state.startswith("waiting: the mail server is away"))
        status = mailer.status()
        assert (status["state"], status["done"]) == ("held", 0)

    effect = Effect.objects.get()
    assert (effect.state, effect.attempts) == ("waiting", 0)


def test_without_a_server_mails_wait_and_stops_still_hold_them(
    loop_thread: LoopThread,
) -> None:
    make_effect("bo")

    with mailers(loop_thread, None) as [mailer]:
        wait_for(lambda: mailer.state == mailer_module.NO_SERVER)
        assert states() == {"bo": "waiting"}
        stop(make_admin())
        wait_for(lambda: states() == {"bo": "held"})


def test_while_postgresql_is_away_it_waits(loop_thread: LoopThread) -> None:
    class Away:
        def connection(self) -> Any:
            raise UnavailableError("PostgreSQL: away")

    mailer = Mailer(Away(), None)  # type: ignore[arg-type]
    future = loop_thread.start(mailer.run())

    wait_for(lambda: mailer.state == "waiting: PostgreSQL: away")
    future.cancel()


def test_a_server_that_stalls_over_one_mail_keeps_no_other_waiting(
    served: Served, loop_thread: LoopThread
) -> None:
    server, address = served
    server.fail(address_of("slow"), "stall-end")
    make_effect("slow")

    with mailers(loop_thread, address) as [mailer]:
        wait_until_stalling(server, address_of("slow"))
        make_effect("bo")
        wait_for(lambda: states() == {"slow": "sending", "bo": "sent"})
        assert mailer.status()["in_flight"]
        loop_thread.run(server.let_go())
        wait_for(lambda: mailer.status()["done"] == 2)
        assert states() == {"slow": "sent", "bo": "sent"}


def test_a_worker_that_ends_lets_out_what_is_on_its_way_and_takes_no_more(
    served: Served, loop_thread: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, address = served
    server.fail(address_of("slow"), "stall-end")
    make_effect("slow")

    with mailers(loop_thread, address) as [mailer]:
        wait_until_stalling(server, address_of("slow"))
        monkeypatch.setattr(mailer_module, "SENDERS", 0)
        make_effect("next")
        ending = loop_thread.start(mailer._drain())
        loop_thread.run(server.let_go())
        ending.result(10)
        assert states() == {"slow": "sent", "next": "waiting"}


def test_a_sender_that_stood_still_after_it_had_begun_sends_nothing() -> None:
    class Session:
        def send(self, whole: bytes) -> None:
            raise AssertionError("it was sent")

    asked_s = now_s() - mailer_module.FRESH_S - 0.1

    outcome = mailer_module._deliver(Session(), b"", asked_s)  # type: ignore[arg-type]

    assert outcome == ("waiting", mailer_module.TOO_LATE)
    assert mailer_module.FRESH_S < actions.PROOF_MS / 1000
