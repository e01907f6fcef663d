"""Keeps a local copy of all tickets in sync with ticketsvc, in an SQLite file, and looks tickets up in it.

It is an example for services of your own: take what you need.

    python3 clients/python/follow_tickets.py                 # follows until Ctrl-C
    python3 clients/python/follow_tickets.py --get <ticket>  # prints a ticket of the copy as JSON, also while another process follows

A copy has to do five things right, and each is in one place here:

- The token is kept together with what it stands for, in one transaction (Copy.apply).
- After any interruption the stream goes on from the token (follow), after a pause that grows and that chance has a part in.
- A token that can't be served any more means to begin anew, and to drop what does not come again (Copy.start_again).
- What is erased goes for good, from the file too, once nobody reads that (Copy.apply).
- A ticket that is not complete yet has empty fields which may have values at Allthings (look_up says so).
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

# How long one stream lasts, in seconds, before it goes on as another. So nothing hangs for ever, whatever is in between, and when there
# are more replicas of ticketsvc than before, they get their share.
STREAM_TIME = 15 * 60
# Bounds of the pauses between attempts, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0

CHANNEL_OPTIONS = [
    # A ticket is a few kilobytes. It can be some megabytes, and gRPC takes 4 MiB unless told.
    ("grpc.max_receive_message_length", 64 << 20),
    # A connection that is silent for so long is asked whether the other end is still there, in milliseconds. Heartbeats come more often.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Otherwise it is two minutes after a long outage before gRPC looks again.
    ("grpc.max_reconnect_backoff_ms", 5_000),
]

# The tickets as they came, so that fields which only a newer contract knows are kept, and the token. stale marks what was in the copy
# before it was started again, and has not come since.
SCHEMA = """
CREATE TABLE IF NOT EXISTS tickets (
  ticket_id TEXT PRIMARY KEY, revision INTEGER NOT NULL, ticket BLOB NOT NULL, stale INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stale_tickets ON tickets (stale) WHERE stale;
CREATE TABLE IF NOT EXISTS progress (id INTEGER PRIMARY KEY CHECK (id = 1), token TEXT NOT NULL);
INSERT OR IGNORE INTO progress (id, token) VALUES (1, '');
"""

# A ticket may come again in an older version: the snapshot has it as it is, and then the changes since the beginning of the snapshot
# follow. So the greater revision counts. A new snapshot counts in any case: a database that was restored can be behind.
PUT = """
INSERT INTO tickets (ticket_id, revision, ticket) VALUES (?, ?, ?)
ON CONFLICT (ticket_id) DO UPDATE SET revision = excluded.revision, ticket = excluded.ticket, stale = 0
WHERE tickets.stale OR excluded.revision >= tickets.revision
"""


class Copy:
    """A copy of all tickets, with the token of the last message in it. One process writes it; others may read it meanwhile."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its other files the mode of this one.
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, timeout=5)
        # In this mode a commit does not wait for the disk. A machine that fails loses the last ones, and with them the tokens: what they
        # brought comes again.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        # What is deleted is overwritten.
        self._db.execute("PRAGMA secure_delete = ON")
        self._db.executescript(SCHEMA)
        # Whether somebody was reading the file when SQLite's log was to be emptied for the last time.
        self._read = False

    def close(self) -> None:
        self._db.close()

    def token(self) -> str:
        """Returns the token to go on with. It is empty in a new copy."""
        (token,) = self._db.execute("SELECT token FROM progress").fetchone()
        return str(token)

    def apply(self, message: WatchTicketsResponse) -> None:
        """Takes in what a message says, together with its token: both, or neither."""
        with self._db:  # a transaction
            kind = message.WhichOneof("message")
            if kind == "change":
                ticket = message.change.ticket
                self._db.execute(PUT, (ticket.ticket_id, ticket.revision, ticket.SerializeToString()))
            elif kind == "removed":
                self._db.execute("DELETE FROM tickets WHERE ticket_id = ?", (message.removed.ticket_id,))
            # This heartbeat ends the snapshot. Tickets that were not in it are gone.
            if kind == "heartbeat" and not message.heartbeat.snapshot:
                self._db.execute("DELETE FROM tickets WHERE stale")
            self._db.execute("UPDATE progress SET token = ?", (message.resume_token,))
        # Wherever else you keep something of a ticket that was erased, remove it there too.
        erased = message.removed.reason == TicketRemoved.REASON_ERASED
        if kind == "heartbeat" or (erased and not self._read):
            self._empty_log()

    def _empty_log(self) -> None:
        """Removes from SQLite's log what was erased.

        Nobody may read the file meanwhile; where somebody does so for longer than the connection's timeout, the next heartbeat tries again.
        """
        busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._read = bool(busy)

    def start_again(self) -> None:
        """Drops the token. What is in the copy stays until all tickets have come again."""
        with self._db:
            self._db.execute("UPDATE tickets SET stale = 1")
            self._db.execute("UPDATE progress SET token = ''")

    def get(self, ticket_id: str) -> Ticket | None:
        """Returns a ticket of the copy, None when it is not in there: not known, or erased, or not come yet."""
        row = self._db.execute("SELECT ticket FROM tickets WHERE ticket_id = ?", (ticket_id,)).fetchone()
        return Ticket.FromString(row[0]) if row else None

    def all(self) -> Iterator[Ticket]:
        """Goes through the tickets of the copy, by their ids."""
        for (content,) in self._db.execute("SELECT ticket FROM tickets ORDER BY ticket_id"):
            yield Ticket.FromString(content)


def open_channel(url: str) -> grpc.Channel:
    """Opens a channel to the ticketsvc at url, in cleartext for http and over TLS for https.

    GRPC_DEFAULT_SSL_ROOTS_FILE_PATH names a file with authorities that vouch for its certificate, where the usual ones don't.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    # An address of IPv6 keeps its brackets, which tell it from the port.
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    target = f"{host}:{parts.port or (443 if secure else 80)}"
    if secure:
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(), CHANNEL_OPTIONS)
    return grpc.insecure_channel(target, CHANNEL_OPTIONS)


class TokenError(Exception):
    """The file with the token can't be read, or holds none."""


def read_token(token_file: Path) -> str:
    """Reads the token to show. Its errors do not hold it."""
    try:
        token = token_file.read_bytes().strip()
    except OSError as err:
        raise TokenError(str(err)) from None
    if not token or any(byte <= ord(" ") or byte > ord("~") for byte in token):
        raise TokenError(f"{token_file} holds no token: one line of visible ASCII")
    return token.decode("ascii")


def give_up_when_silent(stream: grpc.Call, heard: threading.Event, silence: float) -> None:
    """Cancels a stream once heard is not set for so many seconds. A proxy answers pings, whether or not ticketsvc is behind it."""
    while heard.wait(silence):
        heard.clear()
        if not stream.is_active():
            return
    log.warning("nothing came for %g s", silence)
    stream.cancel()


def watch(stub: TicketServiceStub, token_file: Path | None, silence: float, resume_token: str) -> Iterator[WatchTicketsResponse]:
    """Yields what comes on one stream. It ends with grpc.RpcError or TokenError, or when ticketsvc ends the stream without an error."""
    # Read each time, so that a token can be replaced.
    metadata = [("authorization", f"Bearer {read_token(token_file)}")] if token_file else []
    stream = stub.WatchTickets(WatchTicketsRequest(resume_token=resume_token), timeout=STREAM_TIME, metadata=metadata)
    heard = threading.Event()
    threading.Thread(target=give_up_when_silent, args=(stream, heard, silence), daemon=True).start()
    try:
        for message in stream:
            heard.set()
            yield message
    finally:
        stream.cancel()
        heard.set()


def follow(channel: grpc.Channel, token_file: Path | None, silence: float, copy: Copy) -> NoReturn:
    """Keeps copy in sync with ticketsvc. It ends by an exception alone: when something is wrong that does not pass.

    A stream is given up after silence seconds without any message. A heartbeat comes every 15.
    """
    stub = TicketServiceStub(channel)  # type: ignore[no-untyped-call]
    failures = 0
    while True:
        came = False
        try:
            for message in watch(stub, token_file, silence, copy.token()):
                copy.apply(message)
                report(message, came)
                came, failures = True, 0
            log.warning("the stream ended without an error")
        except TokenError as err:
            log.error("there is no token to show: the token can't be read: %s", err)
        except grpc.RpcError as err:
            code = err.code()
            if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED):
                raise
            if code == grpc.StatusCode.OUT_OF_RANGE:
                log.warning("the token can't be served any more: starting again")
                copy.start_again()
            elif not token_file and code == grpc.StatusCode.UNAUTHENTICATED:
                log.error("ticketsvc wants a token: name a file with one of the scope read by --token-file (%s)", err.details())
            elif token_file and code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
                log.error("ticketsvc refuses the token: give one of the scope read (%s)", err.details())
            elif code != grpc.StatusCode.DEADLINE_EXCEEDED:
                log.warning("the stream ended: %s, %s", code.name, err.details())
        time.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))))
        failures += 1


def report(message: WatchTicketsResponse, came: bool) -> None:
    """Logs the ids in a message, except those of the snapshot: there can be a million."""
    if not came:
        log.info("following: the next lines name the tickets that change")
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
        sys.exit(f"there is no such ticket in the copy: {ticket_id!r}")
    if not ticket.complete:
        print("not all of this ticket is known yet: fields that are empty here may have values at Allthings", file=sys.stderr)
    print(MessageToJson(ticket, ensure_ascii=False))


def address(url: str) -> str:
    """Returns the address of a ticketsvc as it was given, when it can be one."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{url!r}: give it with http:// or https://, such as http://127.0.0.1:9090")
    return url


def main() -> None:
    parser = argparse.ArgumentParser(description="Keeps a local copy of all tickets in sync with ticketsvc, until Ctrl-C.")
    parser.add_argument("--url", type=address, default="http://127.0.0.1:9090", help="where ticketsvc is (default %(default)s)")
    parser.add_argument("--token-file", type=Path, help="file with the bearer token to show, of the scope read")
    silence = "after what time without any message a stream is given up (default %(default)s)"
    parser.add_argument("--silence", metavar="SECONDS", type=float, default=60, help=silence)
    parser.add_argument("--copy", type=Path, default=Path("data/tickets-python.db"), help="SQLite file of the copy (default %(default)s)")
    parser.add_argument("--get", metavar="TICKET", help="print this ticket of the copy, and end")
    parser.add_argument("--list", action="store_true", help="print all tickets of the copy, one a line, and end")
    arguments = parser.parse_args()
    if not arguments.silence > 0:
        parser.error("--silence is no number of seconds above 0")
    if arguments.get == "":
        parser.error("--get is empty: give it the id of a ticket")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    copy = Copy(arguments.copy)
    try:
        if arguments.get is not None:
            look_up(copy, arguments.get)
        elif arguments.list:
            for ticket in copy.all():
                print(MessageToJson(ticket, indent=None, ensure_ascii=False))
        else:
            # SIGTERM ends it as Ctrl-C does.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with open_channel(arguments.url) as channel:
                follow(channel, arguments.token_file, arguments.silence, copy)
    except KeyboardInterrupt:
        log.info("stopped")
    finally:
        copy.close()


if __name__ == "__main__":
    main()
