"""What the mailer makes of everything that a mail server can do."""

import pytest

from controlplane.effects.models import Effect
from controlplane.environment import MailServer
from tests.effects.making import address_of, mailers, make_effect, states
from tests.effects.server import SmtpServer
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
