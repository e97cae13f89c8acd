from collections.abc import Iterator

import pytest

from controlplane.effects import mailer
from controlplane.environment import MailServer
from tests.effects.server import SmtpServer, smtp_server
from tests.loop_thread import LoopThread


@pytest.fixture
def loop_thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture
def served(loop_thread: LoopThread) -> Iterator[tuple[SmtpServer, MailServer]]:
    with smtp_server(loop_thread) as found:
        yield found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mailers look often, so that tests wait for facts alone."""
    monkeypatch.setattr(mailer, "POLL_S", 0.02)
