"""Keeps a local copy of all tickets in sync with ticketsvc, in an SQLite file, and reads tickets from the copy.

It is an example for your own services: copy the parts that you need.

    python3 clients/python/follow_tickets.py                 # follows until Ctrl-C
    python3 clients/python/follow_tickets.py --get <ticket>  # prints a ticket of the copy as JSON, also while another process follows

A copy has five rules. Each rule is in one place here:

- The content of a message and its token are stored in one transaction (Copy.apply).
- After an interruption the stream resumes with the last token, after a growing, random delay (follow).
- If ticketsvc can't resume from the token, the copy starts again without a token, and drops the tickets that are not in the new snapshot
  (Copy.start_again).
- Erased tickets are removed from the file permanently (Copy.apply).
- Empty fields of an incomplete ticket may have values at Allthings: look_up prints a note with such a ticket.
"""

from __future__ import annotations

import argparse
import logging
import random
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

try:
    import grpc
    from google.protobuf.json_format import MessageToJson

    from allthings.ticket.v1.ticket_pb2 import Ticket
    from allthings.ticket.v1.ticket_service_pb2 import TicketRemoved, WatchTicketsRequest, WatchTicketsResponse
    from allthings.ticket.v1.ticket_service_pb2_grpc import TicketServiceStub
except ImportError as err:
    sys.exit(
        f"{err}: run make client-python first, and this with the python3 that has gRPC"
        " (on Debian: apt-get install protobuf-compiler protobuf-compiler-grpc python3-grpcio, then /usr/bin/python3)"
    )

log = logging.getLogger("follow_tickets")

# The maximum time of one stream, in seconds. Then a new stream resumes. So no stream hangs for ever, and new replicas of ticketsvc get
# their share of the streams.
MAX_STREAM_TIME = 15 * 60
# The limits of the delay between attempts, in seconds.
MIN_BACKOFF, MAX_BACKOFF = 0.5, 30.0

CHANNEL_OPTIONS = [
    # Most tickets have a few kilobytes, and a ticket can have some megabytes. The default limit of gRPC is 4 MiB.
    ("grpc.max_receive_message_length", 64 << 20),
    # A connection that is silent for this time, in milliseconds, is checked with a ping. Heartbeats come more often.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # By default gRPC waits for up to two minutes before it connects again after a long outage.
    ("grpc.max_reconnect_backoff_ms", 5_000),
]

# The token and the received tickets. A ticket is stored as the message itself, so that fields of a newer contract are kept. stale is set
# for a ticket that was in the copy when the copy was started again, and that has not been received since.
SCHEMA = """
CREATE TABLE IF NOT EXISTS tickets (
  ticket_id TEXT PRIMARY KEY, revision INTEGER NOT NULL, ticket BLOB NOT NULL, stale INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stale_tickets ON tickets (stale) WHERE stale;
CREATE TABLE IF NOT EXISTS progress (id INTEGER PRIMARY KEY CHECK (id = 1), token TEXT NOT NULL);
INSERT OR IGNORE INTO progress (id, token) VALUES (1, '');
"""

# A message can have an older revision of a ticket: after the snapshot come all changes since the beginning of the snapshot. So the greater
# revision stays. A stale ticket is always replaced, because a restored database can have lower revisions.
PUT = """
INSERT INTO tickets (ticket_id, revision, ticket) VALUES (?, ?, ?)
ON CONFLICT (ticket_id) DO UPDATE SET revision = excluded.revision, ticket = excluded.ticket, stale = 0
WHERE tickets.stale OR excluded.revision >= tickets.revision
"""


class Copy:
    """A copy of all tickets, with the token of the last applied message.

    One process may write the copy, and others may read it at the same time.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite creates its other files with the same mode.
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, timeout=5)
        # In this mode a commit does not wait for the disk. After a crash of the machine the last commits are lost, together with their
        # tokens, so ticketsvc sends their messages again.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        # Deleted data is overwritten.
        self._db.execute("PRAGMA secure_delete = ON")
        self._db.executescript(SCHEMA)
        # Whether the last attempt to truncate SQLite's log failed, because another process read the file.
        self._truncate_failed = False

    def close(self) -> None:
        self._db.close()

    def token(self) -> str:
        """Returns the token to resume with. It is empty in a new copy."""
        (token,) = self._db.execute("SELECT token FROM progress").fetchone()
        return str(token)

    def apply(self, message: WatchTicketsResponse) -> None:
        """Stores the content of a message and its token, in one transaction."""
        with self._db:  # a transaction
            kind = message.WhichOneof("message")
            if kind == "change":
                ticket = message.change.ticket
                self._db.execute(PUT, (ticket.ticket_id, ticket.revision, ticket.SerializeToString()))
            elif kind == "removed":
                self._db.execute("DELETE FROM tickets WHERE ticket_id = ?", (message.removed.ticket_id,))
            # This heartbeat ends the snapshot. Tickets that were not in the snapshot do not exist any more.
            if kind == "heartbeat" and not message.heartbeat.snapshot:
                self._db.execute("DELETE FROM tickets WHERE stale")
            self._db.execute("UPDATE progress SET token = ?", (message.resume_token,))
        # If you keep data of tickets in other places, remove an erased ticket there too.
        erased = message.removed.reason == TicketRemoved.REASON_ERASED
        if kind == "heartbeat" or (erased and not self._truncate_failed):
            self._truncate_log()

    def _truncate_log(self) -> None:
        """Removes erased data from SQLite's log.

        It fails if another process reads the file for longer than the connection's timeout. The next heartbeat then retries it.
        """
        busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._truncate_failed = bool(busy)

    def start_again(self) -> None:
        """Drops the token. The tickets stay in the copy until the end of the new snapshot."""
        with self._db:
            self._db.execute("UPDATE tickets SET stale = 1")
            self._db.execute("UPDATE progress SET token = ''")

    def get(self, ticket_id: str) -> Ticket | None:
        """Returns a ticket of the copy, or None if the ticket is unknown, erased, or not received yet."""
        row = self._db.execute("SELECT ticket FROM tickets WHERE ticket_id = ?", (ticket_id,)).fetchone()
        return Ticket.FromString(row[0]) if row else None

    def all(self) -> Iterator[Ticket]:
        """Yields the tickets of the copy in the order of their ids."""
        for (content,) in self._db.execute("SELECT ticket FROM tickets ORDER BY ticket_id"):
            yield Ticket.FromString(content)


def open_channel(url: str) -> grpc.Channel:
    """Opens a channel to the ticketsvc at url, in cleartext for http and over TLS for https.

    If gRPC does not trust ticketsvc's certificate, set GRPC_DEFAULT_SSL_ROOTS_FILE_PATH to a file with the certificate's authority.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    # An IPv6 address keeps its brackets, which separate it from the port.
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    target = f"{host}:{parts.port or (443 if secure else 80)}"
    if secure:
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(), CHANNEL_OPTIONS)
    return grpc.insecure_channel(target, CHANNEL_OPTIONS)


class TokenError(Exception):
    """The file with the token can't be read, or has no token."""


def read_token(token_file: Path) -> str:
    """Reads the token to send. Its errors do not contain the token."""
    try:
        token = token_file.read_bytes().strip()
    except OSError as err:
        raise TokenError(str(err)) from None
    if not token or any(byte <= ord(" ") or byte > ord("~") for byte in token):
        raise TokenError(f"{token_file} has no token: write one line of visible ASCII into it")
    return token.decode("ascii")


def cancel_when_silent(stream: grpc.Call, received: threading.Event, silence: float) -> None:
    """Cancels a stream if received is not set for silence seconds.

    Pings are not enough: a proxy answers them even if it can't reach ticketsvc.
    """
    while received.wait(silence):
        received.clear()
        if not stream.is_active():
            return
    log.warning("no message for %g s", silence)
    stream.cancel()


def watch(stub: TicketServiceStub, token_file: Path | None, silence: float, resume_token: str) -> Iterator[WatchTicketsResponse]:
    """Yields the messages of one stream, until ticketsvc ends the stream. It raises grpc.RpcError and TokenError."""
    # The token is read for each stream, so that it can be replaced.
    metadata = [("authorization", f"Bearer {read_token(token_file)}")] if token_file else []
    stream = stub.WatchTickets(WatchTicketsRequest(resume_token=resume_token), timeout=MAX_STREAM_TIME, metadata=metadata)
    received = threading.Event()
    threading.Thread(target=cancel_when_silent, args=(stream, received, silence), daemon=True).start()
    try:
        for message in stream:
            received.set()
            yield message
    finally:
        stream.cancel()
        received.set()


def follow(channel: grpc.Channel, token_file: Path | None, silence: float, copy: Copy) -> NoReturn:
    """Keeps copy in sync with ticketsvc. It raises an exception if a retry does not help.

    A stream is ended after silence seconds without a message. A heartbeat comes every 15 s.
    """
    stub = TicketServiceStub(channel)  # type: ignore[no-untyped-call]
    failures = 0
    while True:
        received = False
        try:
            for message in watch(stub, token_file, silence, copy.token()):
                copy.apply(message)
                report(message, received)
                received, failures = True, 0
            log.warning("the stream ended without an error")
        except TokenError as err:
            log.error("no token to send: the token can't be read: %s", err)
        except grpc.RpcError as err:
            code = err.code()
            if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED):
                raise
            if code == grpc.StatusCode.OUT_OF_RANGE:
                log.warning("ticketsvc can't resume from the token: starting again")
                copy.start_again()
            elif not token_file and code == grpc.StatusCode.UNAUTHENTICATED:
                log.error("ticketsvc needs a token: set --token-file to a file with a token of the scope read (%s)", err.details())
            elif token_file and code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
                log.error("ticketsvc refuses the token: use a token of the scope read (%s)", err.details())
            elif code != grpc.StatusCode.DEADLINE_EXCEEDED:
                log.warning("the stream ended: %s, %s", code.name, err.details())
        time.sleep(random.uniform(0, min(MAX_BACKOFF, MIN_BACKOFF * 2 ** min(failures, 10))))
        failures += 1


def report(message: WatchTicketsResponse, received: bool) -> None:
    """Logs the ticket that a message changes or removes.

    It does not log the tickets of the snapshot, because there can be a million.
    """
    if not received:
        log.info("following: changed tickets are logged from now on")
    kind = message.WhichOneof("message")
    if kind == "change" and message.change.HasField("event"):
        ticket = message.change.ticket
        log.info("ticket changed: %r, event %s, revision %d", ticket.ticket_id, message.change.event.event_name, ticket.revision)
    elif kind == "removed":
        log.info("ticket removed: %r, %s", message.removed.ticket_id, TicketRemoved.Reason.Name(message.removed.reason))


def look_up(copy: Copy, ticket_id: str) -> None:
    """Prints a ticket of the copy."""
    ticket = copy.get(ticket_id)
    if ticket is None:
        sys.exit(f"no such ticket in the copy: {ticket_id!r}")
    if not ticket.complete:
        print("the ticket is incomplete: empty fields may have values at Allthings", file=sys.stderr)
    print(MessageToJson(ticket, ensure_ascii=False))


def checked_url(url: str) -> str:
    """Returns url if it can be the URL of a ticketsvc. It raises an error for any other string."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{url!r} is not a URL with http:// or https://, such as http://127.0.0.1:9090")
    return url


def main() -> None:
    parser = argparse.ArgumentParser(description="Keeps a local copy of all tickets in sync with ticketsvc, until Ctrl-C.")
    parser.add_argument("--url", type=checked_url, default="http://127.0.0.1:9090", help="URL of ticketsvc (default %(default)s)")
    parser.add_argument("--token-file", type=Path, help="file with the bearer token to send, of the scope read")
    silence = "end a stream after that time without a message (default %(default)s)"
    parser.add_argument("--silence", metavar="SECONDS", type=float, default=60, help=silence)
    parser.add_argument("--copy", type=Path, default=Path("data/tickets-python.db"), help="SQLite file of the copy (default %(default)s)")
    parser.add_argument("--get", metavar="TICKET", help="print this ticket of the copy and exit")
    parser.add_argument("--list", action="store_true", help="print all tickets of the copy, one per line, and exit")
    arguments = parser.parse_args()
    if not arguments.silence > 0:
        parser.error("--silence is not a number of seconds above 0")
    if arguments.get == "":
        parser.error("--get is empty: set it to the id of a ticket")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    copy = Copy(arguments.copy)
    try:
        if arguments.get is not None:
            look_up(copy, arguments.get)
        elif arguments.list:
            for ticket in copy.all():
                print(MessageToJson(ticket, indent=None, ensure_ascii=False))
        else:
            # SIGTERM has the same effect as Ctrl-C.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with open_channel(arguments.url) as channel:
                follow(channel, arguments.token_file, arguments.silence, copy)
    except KeyboardInterrupt:
        log.info("stopped")
    finally:
        copy.close()


if __name__ == "__main__":
    main()
