"""Notifications by e-mail: SMTP to a checked address, a message that a mail client can thread."""

from __future__ import annotations

import html
import smtplib
import socket
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

import httpcore2

from chainwarden.addresses import Resolver, resolve
from chainwarden.errors import DeliveryError, SettingsError
from store.dial import AddressRefused, CheckedBackend
from store.notice import Notice, notice_of
from store.outbox_rows import DIGEST
from store.posting import Target, networks_of, ssl_context_of

_REFUSED: Final = 422
_STYLE: Final = "font-family:sans-serif;max-width:40em"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Through which server mail goes, from whom, and to whom. ``security``: none, starttls, tls."""

    host: str = field(repr=False)
    port: int
    security: str
    user: str = field(repr=False)
    password: str = field(repr=False)
    sender: str = field(repr=False)
    recipients: tuple[str, ...] = field(repr=False)


class MailSender:
    """Mails one receiver. ``Message-ID`` is the same in every attempt; a retraction replies.

    Connects only to checked addresses; ``target.timeout_seconds`` bounds a whole attempt.
    """

    def __init__(
        self,
        target: Target,
        mailbox: Mailbox,
        rate_per_minute: int,
        explorer: str = "",
        resolver: Resolver = resolve,
    ) -> None:
        self.name = target.name
        self.rate_per_minute = rate_per_minute
        self._mailbox = mailbox
        self._explorer = explorer
        self._timeout = target.timeout_seconds
        self._trust = ssl_context_of(target.name, target.ca_file)
        self._backend = CheckedBackend(networks_of(target.name, target.allow_networks), resolver)
        for address in (mailbox.sender, *mailbox.recipients):
            _address(target.name, address)

    def send(self, message_id: str, body: bytes, timestamp: float, *, plain: bool = False) -> None:
        """Mail one message. Raises DeliveryError where the server did not take it."""
        mail = self._mail(message_id, notice_of(body, self._explorer), timestamp, plain)
        self._backend.deadline = time.monotonic() + self._timeout
        handed_over = False
        try:
            with _Smtp(self._mailbox, self._backend, self._trust, self._timeout) as server:
                handed_over = True
                server.send_message(mail, self._mailbox.sender, list(self._mailbox.recipients))
        except AddressRefused as error:
            raise DeliveryError(
                f"{self.name}: {error}",
                retriable=True,
                hint="allow its network explicitly, if it is meant",
            ) from None
        except smtplib.SMTPException as error:
            raise self._failure(error) from None
        except (OSError, httpcore2.TimeoutException, httpcore2.NetworkError) as error:
            raise DeliveryError(
                f"{self.name}: no answer ({type(error).__name__})",
                retriable=True,
                in_doubt=handed_over,
            ) from None

    def close(self) -> None:
        """Nothing is held between messages."""

    def check_address(self) -> None:
        """Resolve the server's name and check every address; nothing is connected or sent."""
        try:
            self._backend.check(self._mailbox.host, self._mailbox.port, self._timeout)
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            raise DeliveryError(f"{self.name}: {error}", retriable=True) from None

    def _failure(self, error: smtplib.SMTPException) -> DeliveryError:
        # What a server says may repeat addresses: the code says enough.
        code = error.smtp_code if isinstance(error, smtplib.SMTPResponseException) else None
        if isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500:
            return DeliveryError(f"{self.name}: answered {code}", retriable=True, status=_REFUSED)
        lost = isinstance(error, smtplib.SMTPServerDisconnected)
        said = f"answered {code}" if code else type(error).__name__
        return DeliveryError(f"{self.name}: {said}", retriable=True, in_doubt=lost)

    def _mail(self, message_id: str, notice: Notice, timestamp: float, plain: bool) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)
        mail["Subject"] = notice.title
        mail["From"] = self._mailbox.sender
        mail["To"] = ", ".join(self._mailbox.recipients)
        mail["Date"] = format_datetime(datetime.fromtimestamp(timestamp, UTC))
        mail["Message-ID"] = f"<{message_id}@chainwarden.invalid>"
        mail["Auto-Submitted"] = "auto-generated"
        if notice.key != message_id and notice.kind != DIGEST:
            mail["In-Reply-To"] = mail["References"] = f"<{notice.key}@chainwarden.invalid>"
        if plain:
            mail.set_content(notice.plain() + "\n")
            return mail
        mail.set_content(_text(notice))
        mail.add_alternative(_html(notice), subtype="html")
        return mail


class _Smtp(smtplib.SMTP):
    """A session over a socket to a checked address; TLS names and verifies the host."""

    def __init__(
        self, mailbox: Mailbox, backend: CheckedBackend, trust: ssl.SSLContext, timeout: float
    ) -> None:
        self._mailbox = mailbox
        self._backend = backend
        self._trust = trust
        super().__init__(mailbox.host, mailbox.port, "chainwarden.invalid", timeout)
        try:
            if mailbox.security == "starttls":
                self.starttls(context=trust)
            if mailbox.user:
                self.login(mailbox.user, mailbox.password)
        except BaseException:
            self.close()
            raise

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        stream = self._backend.connect_tcp(host, port, timeout)
        raw: socket.socket = stream.get_extra_info("socket")
        if self._mailbox.security == "tls":
            return self._trust.wrap_socket(raw, server_hostname=host)
        return raw

    def putcmd(self, cmd: str, args: str = "") -> None:
        """Send a command, within the deadline of the whole attempt."""
        self._hurry()
        super().putcmd(cmd, args)

    def getreply(self) -> tuple[int, bytes]:
        """Wait for an answer, within the same."""
        self._hurry()
        return super().getreply()

    def _hurry(self) -> None:
        if self.sock is not None:
            self.sock.settimeout(self._backend.remaining(None, httpcore2.ReadTimeout))


def _address(name: str, text: str) -> None:
    try:
        Address(addr_spec=text)
    except (ValueError, IndexError, TypeError) as error:
        del error
        raise SettingsError(f"receiver {name}: an e-mail address cannot be read") from None


def _text(notice: Notice) -> str:
    lines = [notice.title, "", notice.sentence, ""]
    lines += [f"{name}: {text}" for name, text in notice.fields]
    if notice.link:
        lines += ["", notice.link]
    return "\n".join(lines) + "\n"


def _html(notice: Notice) -> str:
    rows = "".join(
        f"<tr><th align=left>{html.escape(name)}</th>"
        f"<td style='word-break:break-all'>{html.escape(text)}</td></tr>"
        for name, text in notice.fields
    )
    link = (
        f"<p><a href='{html.escape(notice.link)}'>Open in explorer</a></p>" if notice.link else ""
    )
    return (
        f"<div style='{_STYLE}'><h3>{html.escape(notice.title)}</h3>"
        f"<p>{html.escape(notice.sentence)}</p><table>{rows}</table>{link}</div>"
    )
