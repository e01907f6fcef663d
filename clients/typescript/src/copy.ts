import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

import { fromBinary, toBinary } from "@bufbuild/protobuf";

import { type Ticket, TicketSchema } from "../gen/allthings/ticket/v1/ticket_pb.js";
import type { WatchTicketsResponse } from "../gen/allthings/ticket/v1/ticket_service_pb.js";

/** The first line of the file. */
interface Head {
  /** The token to resume with. */
  token: string;
}

/** Every other line of the file. */
interface Line {
  /** The ticket as a binary message in Base64, so that fields of a newer contract are kept. */
  ticket: string;
  /** Whether the ticket was in the copy when the copy was started again, and has not been received since. */
  stale: boolean;
}

/**
 * A copy of all tickets, with the token of the last applied message. It is in memory, and is saved to a file about once a second. Only one
 * process may write the file.
 *
 * This is enough for ten thousand tickets or so. For more tickets use a database, and write each message and its token in one transaction,
 * as the examples in Go and Python do.
 */
export class Copy {
  #token = "";
  #changed = false;
  readonly #tickets = new Map<string, Ticket>();
  /** The ids of the tickets that were in the copy when it was started again, and that have not been received since. */
  readonly #stale = new Set<string>();

  private constructor(readonly path: string) {}

  /** Reads the copy from a file. The copy is empty if there is no file. */
  static async open(path: string): Promise<Copy> {
    const copy = new Copy(path);
    let content: string;
    try {
      content = await readFile(path, "utf8");
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === "ENOENT") {
        return copy;
      }
      throw err;
    }
    const [head, ...lines] = content.trimEnd().split("\n");
    copy.#token = (JSON.parse(head ?? "") as Head).token;
    for (const line of lines) {
      const { ticket, stale } = JSON.parse(line) as Line;
      const read = fromBinary(TicketSchema, Buffer.from(ticket, "base64"));
      copy.#tickets.set(read.ticketId, read);
      if (stale) {
        copy.#stale.add(read.ticketId);
      }
    }
    return copy;
  }

  /** The token to resume with. Empty in a new copy. */
  get token(): string {
    return this.#token;
  }

  /** Applies the content of a message and its token. */
  apply({ message, resumeToken }: WatchTicketsResponse): void {
    switch (message.case) {
      case "change": {
        const { ticket } = message.value;
        if (ticket !== undefined) {
          this.#put(ticket);
        }
        break;
      }
      case "removed":
        // If you keep data of tickets in other places, remove an erased ticket there too. The next save removes it from the file.
        this.#tickets.delete(message.value.ticketId);
        this.#stale.delete(message.value.ticketId);
        break;
      case "heartbeat":
        if (!message.value.snapshot) {
          this.#dropStale();
        }
        break;
    }
    this.#token = resumeToken;
    this.#changed = true;
  }

  /**
   * A message can have an older revision of a ticket: after the snapshot come all changes since the beginning of the snapshot. So the
   * greater revision stays. A stale ticket is always replaced, because a restored database can have lower revisions.
   */
  #put(ticket: Ticket): void {
    const known = this.#tickets.get(ticket.ticketId);
    if (known === undefined || this.#stale.has(ticket.ticketId) || ticket.revision >= known.revision) {
      this.#tickets.set(ticket.ticketId, ticket);
      this.#stale.delete(ticket.ticketId);
    }
  }

  /**
   * Removes the tickets that were not in the snapshot. It is called for the heartbeat that ends the snapshot.
   */
  #dropStale(): void {
    for (const id of this.#stale) {
      this.#tickets.delete(id);
    }
    this.#stale.clear();
  }

  /** Drops the token. The tickets stay in the copy until the end of the new snapshot. */
  startAgain(): void {
    this.#token = "";
    for (const id of this.#tickets.keys()) {
      this.#stale.add(id);
    }
    this.#changed = true;
  }

  /** Returns a ticket, or undefined if the ticket is unknown, erased, or not received yet. */
  get(id: string): Ticket | undefined {
    return this.#tickets.get(id);
  }

  /** Returns all tickets in the order of their ids. */
  all(): Iterable<Ticket> {
    return [...this.#tickets.values()].sort((a, b) => (a.ticketId < b.ticketId ? -1 : 1));
  }

  /** Writes the copy to its file if it has changed. Tickets and token are replaced in one step, by renaming a new file. */
  async save(): Promise<void> {
    if (!this.#changed) {
      return;
    }
    this.#changed = false;
    // The whole content is made here, because messages are applied while the file is written.
    const content = [...this.#lines()].join("");
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
    // The name is always the same, so that no unfinished file keeps erased data.
    const unfinished = `${this.path}.unfinished`;
    try {
      const file = await open(unfinished, "w", 0o600);
      try {
        await file.writeFile(content);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(unfinished, this.path);
    } catch (err) {
      await rm(unfinished, { force: true });
      throw err;
    }
  }

  *#lines(): Iterable<string> {
    const head: Head = { token: this.#token };
    yield `${JSON.stringify(head)}\n`;
    for (const [id, ticket] of this.#tickets) {
      const line: Line = {
        ticket: Buffer.from(toBinary(TicketSchema, ticket)).toString("base64"),
        stale: this.#stale.has(id),
      };
      yield `${JSON.stringify(line)}\n`;
    }
  }
}
