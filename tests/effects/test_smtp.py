"""What a mail is made of: nothing that an agent writes becomes a header or another recipient."""

import ssl
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import NamedTuple

import pytest

from controlplane.effects.smtp import MailError, ServerAwayError, Session, written
from controlplane.environment import MailServer
from tests.effects.server import SmtpServer
from tests.embedded.tls import make_authority
from tests.loop_thread import LoopThread

SENDER = "Interlock <mail@interlock.example>"


class Written(NamedTuple):
    record_id: str = "r-1"
    recipient: str = "bo@customer.example"
    subject: str = "Your offer: 12 % off, größer"
    text: str = "Dear customer,\n.\n.hidden\nhere it is.\n"
    created_at: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_a_mail_says_what_the_agent_wrote_and_who_we_are() -> None:
    whole = written(Written(), sender=SENDER)
    read = message_from_bytes(whole, policy=default)

    assert (read["From"], read["To"]) == (SENDER, "bo@customer.example")
    assert read["Subject"] == Written().subject
    assert read["Message-ID"] == "<r-1@interlock.example>"
    assert read["Date"].datetime == Written().created_at
    assert read["Auto-Submitted"] == "auto-generated"
    assert read.get_content().replace("\r\n", "\n") == Written().text
    assert whole.isascii()
    assert b"\n" not in whole.replace(b"\r\n", b"")
    assert written(Written(), sender=SENDER) == whole


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "bo",
        "@customer.example",
        "bo@",
        "bo@customer.example\r\nBcc: all@example.com",
        "bo@customer.example, cy@customer.example",
        "bo@customer.example> RCPT TO:<cy@customer.example",
        "Bo <bo@customer.example>",
        "bo@größer.example",
        "bo\x00@customer.example",
    ],
)
def test_only_one_plain_address_is_a_recipient(recipient: str) -> None:
    with pytest.raises(MailError, match="no address"):
        written(Written(recipient=recipient), sender=SENDER)


@pytest.mark.parametrize(
    "subject", ["a\r\nBcc: all@example.com", "a\nb", "a\x00b", "a\x1bb", "a\u2028b"]
)
def test_a_subject_is_one_line(subject: str) -> None:
    with pytest.raises(MailError):
        written(Written(subject=subject), sender=SENDER)


def test_a_server_that_is_not_there_is_named() -> None:
    nowhere = MailServer("127.0.0.1", 1, "", "", "none", SENDER)

    with pytest.raises(ServerAwayError, match=r"127\.0\.0\.1:1"):
        Session(nowhere)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_over_tls_it_says_who_it_is_to_a_server_whose_certificate_is_good(
    loop_thread: LoopThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    security: str,
) -> None:
    authority = make_authority(tmp_path / "authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server)
    server = SmtpServer()
    address = loop_thread.run(server.start(security=security, context=context))
    try:
        with pytest.raises(ServerAwayError, match="certificate verify failed"):
            Session(address)
        assert server.logins == []

        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        session = Session(address)
        session.address("bo@customer.example")
        session.send(written(Written(), sender=SENDER))
        session.close()

        assert server.logins == ["\0app\0it's secret"]
        assert server.recipients["bo@customer.example"] == 1
    finally:
        loop_thread.run(server.stop())
