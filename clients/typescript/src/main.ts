/**
 * Keeps a local copy of all tickets in sync with ticketsvc, in a file, and looks tickets up in it. It is an example for services of your
 * own: take what you need.
 *
 *     node clients/typescript/dist/src/main.js                 # follows until Ctrl-C
 *     node clients/typescript/dist/src/main.js --get <ticket>  # prints a ticket of the copy as JSON, also while another process follows
 *
 * A copy has to do five things right, and each is in one place here:
 *
 * - The token is kept together with what it stands for, in one step (Copy.save).
 * - After any interruption the stream goes on from the token (follow), after a pause that grows and that chance has a part in.
 * - A token that can't be served any more means to begin anew, and to drop what does not come again (Copy.startAgain).
 * - What is erased goes for good, from the file too (Copy.save).
 * - A ticket that is not complete yet has empty fields which may have values at Allthings (lookUp says so).
 */
import { parseArgs } from "node:util";

import { toJsonString } from "@bufbuild/protobuf";

import { TicketSchema } from "../gen/allthings/ticket/v1/ticket_pb.js";
import { Copy } from "./copy.js";
import { connect, follow } from "./follow.js";

const usage = `Keeps a local copy of all tickets in sync with ticketsvc, until Ctrl-C.

Usage: node clients/typescript/dist/src/main.js [options]

  --url URL          where ticketsvc is (default http://127.0.0.1:9090)
  --token-file FILE  file with the bearer token to show, of the scope read
  --silence SECONDS  after what time without any message a stream is given up (default 60)
  --copy FILE        file of the copy (default data/tickets-typescript.jsonl)
  --get TICKET       print this ticket of the copy, and end
  --list             print all tickets of the copy, one a line, and end
  --help             print this, and end`;

/** The caller has to put something right. */
class UsageError extends Error {}

/** Prints a ticket of the copy. */
function lookUp(copy: Copy, id: string): void {
  const ticket = copy.get(id);
  if (ticket === undefined) {
    throw new Error(`there is no such ticket in the copy: ${JSON.stringify(id)}`);
  }
  if (!ticket.complete) {
    console.error("not all of this ticket is known yet: fields that are empty here may have values at Allthings");
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
    throw new UsageError("--silence is no number of seconds above 0");
  }
  if (!/^https?:\/\/[^/]/.test(values.url) || !URL.canParse(values.url)) {
    throw new UsageError(`--url ${JSON.stringify(values.url)}: give it with http:// or https://, such as http://127.0.0.1:9090`);
  }
  if (values.get === "") {
    throw new UsageError("--get is empty: give it the id of a ticket");
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
    // A connection that is kept open for the next call would hold up the end.
    process.exit();
  }
}

try {
  await main();
} catch (err) {
  console.error(err instanceof Error ? err.message : err);
  process.exit(err instanceof UsageError ? 2 : 1);
}
