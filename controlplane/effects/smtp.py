"""Mail over SMTP: what a mail is made of, and a connection that says of each step what is certain."""

import re
import smtplib
import socket
import ssl
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Protocol

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from controlplane.environment import MailServer

TIMEOUT_S = 30.0  # of each step
OK, ALSO_OK, MAY_PASS, FOR_GOOD = 250, 251, 400, 500
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class MailError(Exception):
    """A mail cannot be sent as it is."""


class ServerAwayError(Exception):
    """The server is not there, or does not let us in. No mail was touched."""


class RefusedError(Exception):
    """The server said no, so nothing went out. is_for_good: it will say so again."""

    def __init__(self, code: int, words: bytes) -> None:
        said = words.decode(errors="replace")
        super().__init__(f"The mail server answered {code} {said}".strip())
        self.is_for_good = code >= FOR_GOOD


class LostError(Exception):
    """The connection broke. Before DATA that means that nothing went out, after it nobody knows."""


class Mail(Protocol):
    """What a mail is made of."""

    @property
    def record_id(self) -> str: ...
    @property
    def recipient(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...


def message_id(record_id: str, sender: str) -> str:
    """Return what the server's log calls a mail: the same each time that it is tried."""
    return f"<{record_id}@{_spec(sender).rpartition('@')[2]}>"


def written(mail: Mail, *, sender: str) -> bytes:
    """Return its bytes. MailError when it cannot be: what agents write is taken for hostile."""
    if _CONTROL.search(mail.subject):
        raise MailError("Its subject has line breaks or control characters.")
    message = EmailMessage()
    message["From"] = sender
    message["To"] = _address(mail.recipient)
    message["Date"] = format_datetime(mail.created_at)
    message["Message-ID"] = message_id(mail.record_id, sender)
    message["Auto-Submitted"] = "auto-generated"
    try:
        message["Subject"] = mail.subject
        message.set_content(mail.text, cte="quoted-printable")
    except ValueError as error:
        raise MailError(f"It cannot be written as a mail: {error}.") from error
    return message.as_bytes(policy=SMTP)


def _address(recipient: str) -> str:
    """Return it, if it is one address and nothing else."""
    try:
        validate_email(recipient)
    except ValidationError as error:
        raise MailError(f"{recipient!r} is no address.") from error
    if not recipient.isascii() or _CONTROL.search(recipient):
        raise MailError(f"{recipient!r} is no address that every server takes.")
    return recipient


class Session:
    """One connection to the server. Blocks: run it in a thread."""

    def __init__(self, server: MailServer) -> None:
        self._sender = server.sender
        try:
            self._smtp = _connect(server)
        except (smtplib.SMTPException, OSError) as error:
            raise ServerAwayError(f"{server.host}:{server.port}: {error}") from error

    def address(self, recipient: str) -> None:
        """Say from whom and to whom. RefusedError, or LostError: nothing went out."""
        try:
            self._expect(self._smtp.mail(_spec(self._sender)))
            self._expect(self._smtp.rcpt(recipient))
        except (smtplib.SMTPException, OSError) as error:
            raise LostError(str(error)) from error

    def send(self, whole: bytes) -> None:
        """Say DATA and all of the mail. RefusedError: it did not take it; LostError: nobody knows."""
        try:
            self._expect(self._smtp.data(whole))
        except smtplib.SMTPDataError as error:
            raise RefusedError(error.smtp_code, _bytes(error.smtp_error)) from error
        except (smtplib.SMTPException, OSError) as error:
            raise LostError(str(error)) from error

    def reset(self) -> None:
        """Forget the mail that was addressed. LostError."""
        try:
            self._smtp.rset()
        except (smtplib.SMTPException, OSError) as error:
            raise LostError(str(error)) from error

    def close(self) -> None:
        """Take leave, if the server still listens."""
        try:
            self._smtp.quit()
        except (smtplib.SMTPException, OSError):
            self._smtp.close()

    def _expect(self, answer: tuple[int, bytes]) -> None:
        code, words = answer
        if code not in {OK, ALSO_OK}:
            raise RefusedError(code, words)


def _connect(server: MailServer) -> smtplib.SMTP:
    name = socket.gethostname()
    if server.security == "tls":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host,
            server.port,
            local_hostname=name,
            timeout=TIMEOUT_S,
            context=ssl.create_default_context(),
        )
    else:
        smtp = smtplib.SMTP(
            server.host, server.port, local_hostname=name, timeout=TIMEOUT_S
        )
    try:
        _enter(smtp, server)
    except (smtplib.SMTPException, OSError):
        smtp.close()
        raise
    return smtp


def _enter(smtp: smtplib.SMTP, server: MailServer) -> None:
    if server.security == "starttls":
        smtp.starttls(context=ssl.create_default_context())
    smtp.ehlo_or_helo_if_needed()
    if server.user:
        smtp.login(server.user, server.password)


def _spec(sender: str) -> str:
    """Return the address alone; a sender may have a name."""
    return parseaddr(sender)[1]


def _bytes(words: bytes | str) -> bytes:
    return words if isinstance(words, bytes) else words.encode()
