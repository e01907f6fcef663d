/**
 * Keeps a local copy of all tickets in sync with ticketsvc, in a file, and reads tickets from the copy. It is an example for your own
 * services: copy the parts that you need.
 *
 *     node clients/typescript/dist/src/main.js                 # follows until Ctrl-C
 *     node clients/typescript/dist/src/main.js --get <ticket>  # prints a ticket of the copy as JSON, also while another process follows
 *
 * A copy has five rules. Each rule is in one place here:
 *
 * - The tickets and the token of the last message are stored in one step (Copy.save).
 * - After an interruption the stream resumes with the last token, after a growing, random delay (follow).
 * - If ticketsvc can't resume from the token, the copy starts again without a token, and drops the tickets that are not in the new
 *   snapshot (Copy.startAgain).
 * - Erased tickets are removed from the file permanently (Copy.save).
 * - Empty fields of an incomplete ticket may have values at Allthings: lookUp prints a note with such a ticket.
 */
import { parseArgs } from "node:util";

import { toJsonString } from "@bufbuild/protobuf";

import { TicketSchema } from "../gen/allthings/ticket/v1/ticket_pb.js";
import { Copy } from "./copy.js";
import { connect, follow } from "./follow.js";

const usage = `Keeps a local copy of all tickets in sync with ticketsvc, until Ctrl-C.

Usage: node clients/typescript/dist/src/main.js [options]

  --url URL          URL of ticketsvc (default http://127.0.0.1:9090)
  --token-file FILE  file with the bearer token to send, of the scope read
  --silence SECONDS  end a stream after that time without a message (default 60)
  --copy FILE        file of the copy (default data/tickets-typescript.jsonl)
  --get TICKET       print this ticket of the copy and exit
  --list             print all tickets of the copy, one per line, and exit
  --help             print this help and exit`;

/** An error that the caller must fix. */
class UsageError extends Error {}

/** Prints a ticket of the copy. */
function lookUp(copy: Copy, id: string): void {
  const ticket = copy.get(id);
  if (ticket === undefined) {
    throw new Error(`no such ticket in the copy: ${JSON.stringify(id)}`);
  }
  if (!ticket.complete) {
    console.error("the ticket is incomplete: empty fields may have values at Allthings");
  }
  console.log(toJsonString(TicketSchema, ticket, { prettySpaces: 2 }));
}

function options() {
  try {
    return parseArgs({
      options: {
        url: { type: "string", default: "http://127.0.0.1:9090" },
        "token-file": { type: "string" },
        silence: { type: "string", default: "60" },
        copy: { type: "string", default: "data/tickets-typescript.jsonl" },
        get: { type: "string" },
        list: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (err) {
    throw new UsageError(err instanceof Error ? err.message : String(err));
  }
}

async function main(): Promise<void> {
  const values = options();
  if (values.help) {
    console.log(usage);
    return;
  }
  const silence = Number(values.silence);
  if (!(silence > 0)) {
    throw new UsageError("--silence is not a number of seconds above 0");
  }
  if (!/^https?:\/\/[^/]/.test(values.url) || !URL.canParse(values.url)) {
    throw new UsageError(`--url ${JSON.stringify(values.url)} is not a URL with http:// or https://, such as http://127.0.0.1:9090`);
  }
  if (values.get === "") {
    throw new UsageError("--get is empty: set it to the id of a ticket");
  }
  const copy = await Copy.open(values.copy);
  if (values.get !== undefined) {
    lookUp(copy, values.get);
  } else if (values.list) {
    for (const ticket of copy.all()) {
      console.log(toJsonString(TicketSchema, ticket));
    }
  } else {
    const stop = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.once(signal, () => stop.abort());
    }
    await follow({ client: connect(values.url), tokenFile: values["token-file"], silence }, copy, stop.signal);
    // Without this call the process would wait for idle connections.
    process.exit();
  }
}

try {
  await main();
} catch (err) {
  console.error(err instanceof Error ? err.message : err);
  process.exit(err instanceof UsageError ? 2 : 1);
}
