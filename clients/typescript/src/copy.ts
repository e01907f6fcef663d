import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

import { fromBinary, toBinary } from "@bufbuild/protobuf";

import { type Ticket, TicketSchema } from "../gen/allthings/ticket/v1/ticket_pb.js";
import type { WatchTicketsResponse } from "../gen/allthings/ticket/v1/ticket_service_pb.js";

/** The first line of the file. */
interface Head {
  /** What to go on with. */
  token: string;
}

/** Every other line of the file. */
interface Line {
  /** The ticket's binary form as Base64, so that fields which only a newer contract knows are kept. */
  ticket: string;
  /** Whether it was in the copy before it was started again, and has not come since. */
  stale: boolean;
}

/**
 * A copy of all tickets, with the token of the last message in it: in memory, and from time to time in a file, which one process writes.
 *
 * That does for some ten thousand tickets. For more, or where the tickets should be in a database anyway, write each message and its
 * token in one transaction there, as the examples in Go and Python do.
 */
export class Copy {
  #token = "";
  #changed = false;
  readonly #tickets = new Map<string, Ticket>();
  /** The ids of tickets that were here before the copy was started again, and have not come since. */
  readonly #stale = new Set<string>();

  private constructor(readonly path: string) {}

  /** Reads the copy from a file. Without one it is empty. */
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

  /** What to go on with. Empty in a new copy. */
  get token(): string {
    return this.#token;
  }

  /** Takes in what a message says, together with its token. */
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
        // When it was erased, remove what you keep of it elsewhere, too. From here it goes for good when the copy is saved.
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
   * A ticket may come again in an older version: the snapshot has it as it is, and then the changes since the beginning of the snapshot
   * follow. So the greater revision counts. A new snapshot counts in any case: a database that was restored can be behind.
   */
  #put(ticket: Ticket): void {
    const known = this.#tickets.get(ticket.ticketId);
    if (known === undefined || this.#stale.has(ticket.ticketId) || ticket.revision >= known.revision) {
      this.#tickets.set(ticket.ticketId, ticket);
      this.#stale.delete(ticket.ticketId);
    }
  }

  /**
   * Removes the tickets that were not in the snapshot, after the heartbeat that ends it.
   */
  #dropStale(): void {
    for (const id of this.#stale) {
      this.#tickets.delete(id);
    }
    this.#stale.clear();
  }

  /** Drops the token. What is in the copy stays until all tickets have come again. */
  startAgain(): void {
    this.#token = "";
    for (const id of this.#tickets.keys()) {
      this.#stale.add(id);
    }
    this.#changed = true;
  }

  /** Returns a ticket, undefined when it is not in the copy: not known, or erased, or not come yet. */
  get(id: string): Ticket | undefined {
    return this.#tickets.get(id);
  }

  /** Goes through all tickets, by their ids. */
  all(): Iterable<Ticket> {
    return [...this.#tickets.values()].sort((a, b) => (a.ticketId < b.ticketId ? -1 : 1));
  }

  /** Writes the copy to its file, if anything has changed: the tickets and their token in one step, by renaming a new file. */
  async save(): Promise<void> {
    if (!this.#changed) {
      return;
    }
    this.#changed = false;
    // At one moment, since messages are taken in while the file is written.
    const content = [...this.#lines()].join("");
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
    // Always by the same name, so that nothing of what is erased stays in one that was never finished.
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
