import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";

import { TicketRemoved_Reason, TicketService, type WatchTicketsResponse } from "../gen/allthings/ticket/v1/ticket_service_pb.js";
import type { Copy } from "./copy.js";

/**
 * How long one stream lasts before it goes on as another. So nothing hangs for ever, whatever is in between, and when there are more
 * replicas of ticketsvc than before, they get their share.
 */
const streamTimeMs = 15 * 60_000;
/** Bounds of the pauses between attempts. */
const firstPauseMs = 500;
const longestPauseMs = 30_000;
/** How often the copy is written to its file. */
const saveEveryMs = 1_000;

/**
 * Returns a client of the ticketsvc at url.
 *
 * Where nobody that Node.js knows vouches for ticketsvc's certificate, NODE_EXTRA_CA_CERTS names a file with who does.
 */
export function connect(url: string): Client<typeof TicketService> {
  return createClient(
    TicketService,
    createConnectTransport({
      baseUrl: url,
      httpVersion: "2",
      // A ticket is a few kilobytes; it can be some megabytes.
      readMaxBytes: 64 << 20,
      // A connection that is silent for so long is asked whether the other end is still there. Heartbeats come more often.
      pingIntervalMs: 20_000,
    }),
  );
}

/** The file with the token can't be read, or holds none. */
class TokenError extends Error {}

/** Reads the token to show. It throws a TokenError, which does not hold the token. */
async function readToken(tokenFile: string): Promise<string> {
  let token: string;
  try {
    token = (await readFile(tokenFile, "utf8")).trim();
  } catch (err) {
    throw new TokenError((err as Error).message);
  }
  if (!/^[!-~]+$/.test(token)) {
    throw new TokenError(`${tokenFile} holds no token: one line of visible ASCII`);
  }
  return token;
}

/** What is followed, and how. */
export interface Options {
  client: Client<typeof TicketService>;
  /** File with the bearer token to show, if any. It is read for each stream, so that it can be replaced. */
  tokenFile?: string | undefined;
  /** After how many seconds without any message a stream is given up. A heartbeat comes every 15. */
  silence: number;
}

/**
 * Keeps copy in sync with ticketsvc until signal is aborted. It throws when something is wrong that does not pass.
 *
 * When it returns or throws the copy has been saved, unless that is what went wrong.
 */
export async function follow(options: Options, copy: Copy, signal: AbortSignal): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  // Whichever of the two ends ends the other.
  const tasks = [receive(options, copy, either), save(copy, either)];
  const outcomes = await Promise.allSettled(tasks.map((task) => task.finally(() => stop.abort())));
  // What came while the file was written for the last time is not in it.
  outcomes.push(...(await Promise.allSettled([copy.save()])));
  for (const outcome of outcomes) {
    if (outcome.status === "rejected") {
      throw outcome.reason;
    }
  }
}

async function save(copy: Copy, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pause(saveEveryMs, signal);
    await copy.save();
  }
}

/** Yields what comes on one stream. */
async function* watch(options: Options, resumeToken: string, signal: AbortSignal): AsyncIterable<WatchTicketsResponse> {
  const { client, tokenFile, silence } = options;
  const headers = tokenFile === undefined ? {} : { Authorization: `Bearer ${await readToken(tokenFile)}` };
  // A proxy answers pings, whether or not ticketsvc is behind it.
  const silent = new AbortController();
  const timer = setTimeout(() => {
    console.error(`nothing came for ${silence} s`);
    silent.abort();
  }, silence * 1000);
  try {
    const settings = { headers, signal: AbortSignal.any([signal, silent.signal]), timeoutMs: streamTimeMs };
    for await (const message of client.watchTickets({ resumeToken }, settings)) {
      timer.refresh();
      yield message;
    }
  } finally {
    clearTimeout(timer);
  }
}

async function receive(options: Options, copy: Copy, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted; failures++) {
    let came = false;
    try {
      for await (const message of watch(options, copy.token, signal)) {
        copy.apply(message);
        report(message, came);
        came = true;
        failures = 0;
      }
      console.error("the stream ended without an error");
    } catch (err) {
      if (signal.aborted) {
        return;
      }
      dealWith(err, options, copy);
    }
    // The pause grows, and chance has a part in it, so that not all come back at the same moment.
    await pause(Math.random() * Math.min(longestPauseMs, firstPauseMs * 2 ** failures), signal);
  }
}

/** Logs the ids in a message, except those of the snapshot: there can be a million. */
function report({ message }: WatchTicketsResponse, came: boolean): void {
  if (!came) {
    console.error("following: the next lines name the tickets that change");
  }
  if (message.case === "change" && message.value.event !== undefined) {
    const { event, ticket } = message.value;
    console.error(`ticket changed: ${JSON.stringify(ticket?.ticketId)}, event ${event.eventName}, revision ${ticket?.revision}`);
  } else if (message.case === "removed") {
    // A newer ticketsvc may have reasons that have no name here.
    const reason = TicketRemoved_Reason[message.value.reason] ?? message.value.reason;
    console.error(`ticket removed: ${JSON.stringify(message.value.ticketId)}, ${reason}`);
  }
}

/** Says why a stream ended, and starts copy again when it has to. It throws what does not pass. */
function dealWith(err: unknown, { tokenFile }: Options, copy: Copy): void {
  if (err instanceof TokenError) {
    console.error(`there is no token to show: the token can't be read: ${err.message}`);
    return;
  }
  const { code, message } = ConnectError.from(err);
  switch (code) {
    case Code.InvalidArgument:
    case Code.Unimplemented:
      throw err;
    case Code.OutOfRange:
      console.error("the token can't be served any more: starting again");
      copy.startAgain();
      break;
    case Code.Unauthenticated:
    case Code.PermissionDenied:
      if (tokenFile !== undefined) {
        console.error(`ticketsvc refuses the token: give one of the scope read (${message})`);
      } else if (code === Code.Unauthenticated) {
        console.error(`ticketsvc wants a token: name a file with one of the scope read by --token-file (${message})`);
      } else {
        console.error(`the stream ended: ${message}`);
      }
      break;
    case Code.DeadlineExceeded:
      break;
    default:
      console.error(`the stream ended: ${message}`);
  }
}

/** Waits so long, or until signal is aborted. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (err) {
    if (!signal.aborted) {
      throw err;
    }
  }
}
