import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";

import { TicketRemoved_Reason, TicketService, type WatchTicketsResponse } from "../gen/allthings/ticket/v1/ticket_service_pb.js";
import type { Copy } from "./copy.js";

/**
 * The maximum time of one stream. Then a new stream resumes. So no stream hangs for ever, and new replicas of ticketsvc get their share of
 * the streams.
 */
const maxStreamTimeMs = 15 * 60_000;
/** The limits of the delay between attempts. */
const minBackoffMs = 500;
const maxBackoffMs = 30_000;
/** The time between two writes of the file. */
const saveEveryMs = 1_000;

/**
 * Returns a client of the ticketsvc at url.
 *
 * If Node.js does not trust ticketsvc's certificate, set NODE_EXTRA_CA_CERTS to a file with the certificate's authority.
 */
export function connect(url: string): Client<typeof TicketService> {
  return createClient(
    TicketService,
    createConnectTransport({
      baseUrl: url,
      httpVersion: "2",
      // Most tickets have a few kilobytes, and a ticket can have some megabytes.
      readMaxBytes: 64 << 20,
      // A connection that is silent for this time is checked with a ping. Heartbeats come more often.
      pingIntervalMs: 20_000,
    }),
  );
}

/** The file with the token can't be read, or has no token. */
class TokenError extends Error {}

/** Reads the token to send. It throws a TokenError that does not contain the token. */
async function readToken(tokenFile: string): Promise<string> {
  let token: string;
  try {
    token = (await readFile(tokenFile, "utf8")).trim();
  } catch (err) {
    throw new TokenError((err as Error).message);
  }
  if (!/^[!-~]+$/.test(token)) {
    throw new TokenError(`${tokenFile} has no token: write one line of visible ASCII into it`);
  }
  return token;
}

/** The options of follow. */
export interface Options {
  client: Client<typeof TicketService>;
  /** The file with the bearer token to send, if any. It is read for each stream, so that the token can be replaced. */
  tokenFile?: string | undefined;
  /** The maximum time without a message, in seconds. A stream that is silent for longer is ended. A heartbeat comes every 15 s. */
  silence: number;
}

/**
 * Keeps copy in sync with ticketsvc until signal is aborted. It throws an error if a retry does not help.
 *
 * The copy is saved before it returns or throws, except if saving fails.
 */
export async function follow(options: Options, copy: Copy, signal: AbortSignal): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  // If one of the two tasks ends, the other must end too.
  const tasks = [receive(options, copy, either), save(copy, either)];
  const outcomes = await Promise.allSettled(tasks.map((task) => task.finally(() => stop.abort())));
  // Messages that were applied during the last write are not in the file yet.
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

/** Yields the messages of one stream. */
async function* watch(options: Options, resumeToken: string, signal: AbortSignal): AsyncIterable<WatchTicketsResponse> {
  const { client, tokenFile, silence } = options;
  const headers = tokenFile === undefined ? {} : { Authorization: `Bearer ${await readToken(tokenFile)}` };
  // Pings are not enough: a proxy answers them even if it can't reach ticketsvc.
  const silent = new AbortController();
  const timer = setTimeout(() => {
    console.error(`no message for ${silence} s`);
    silent.abort();
  }, silence * 1000);
  try {
    const settings = { headers, signal: AbortSignal.any([signal, silent.signal]), timeoutMs: maxStreamTimeMs };
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
    let received = false;
    try {
      for await (const message of watch(options, copy.token, signal)) {
        copy.apply(message);
        report(message, received);
        received = true;
        failures = 0;
      }
      console.error("the stream ended without an error");
    } catch (err) {
      if (signal.aborted) {
        return;
      }
      handleError(err, options, copy);
    }
    // The delay is random, so that clients do not return at the same moment.
    await pause(Math.random() * Math.min(maxBackoffMs, minBackoffMs * 2 ** failures), signal);
  }
}

/** Logs the ticket that a message changes or removes. It does not log the tickets of the snapshot, because there can be a million. */
function report({ message }: WatchTicketsResponse, received: boolean): void {
  if (!received) {
    console.error("following: changed tickets are logged from now on");
  }
  if (message.case === "change" && message.value.event !== undefined) {
    const { event, ticket } = message.value;
    console.error(`ticket changed: ${JSON.stringify(ticket?.ticketId)}, event ${event.eventName}, revision ${ticket?.revision}`);
  } else if (message.case === "removed") {
    // A newer ticketsvc may have reasons that this contract has no name for.
    const reason = TicketRemoved_Reason[message.value.reason] ?? message.value.reason;
    console.error(`ticket removed: ${JSON.stringify(message.value.ticketId)}, ${reason}`);
  }
}

/** Logs why a stream ended, and starts copy again if necessary. It throws an error if a retry does not help. */
function handleError(err: unknown, { tokenFile }: Options, copy: Copy): void {
  if (err instanceof TokenError) {
    console.error(`no token to send: the token can't be read: ${err.message}`);
    return;
  }
  const { code, message } = ConnectError.from(err);
  switch (code) {
    case Code.InvalidArgument:
    case Code.Unimplemented:
      throw err;
    case Code.OutOfRange:
      console.error("ticketsvc can't resume from the token: starting again");
      copy.startAgain();
      break;
    case Code.Unauthenticated:
    case Code.PermissionDenied:
      if (tokenFile !== undefined) {
        console.error(`ticketsvc refuses the token: use a token of the scope read (${message})`);
      } else if (code === Code.Unauthenticated) {
        console.error(`ticketsvc needs a token: set --token-file to a file with a token of the scope read (${message})`);
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

/** Waits for that time, or until signal is aborted. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (err) {
    if (!signal.aborted) {
      throw err;
    }
  }
}
