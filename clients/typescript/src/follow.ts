import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

import { type Client, Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";

import { TicketService } from "../gen/allthings/ticket/v1/ticket_service_pb.js";
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
 * Returns a client of the ticketsvc at url, that shows the token in a file, if any.
 *
 * Where nobody that Node.js knows vouches for ticketsvc's certificate, NODE_EXTRA_CA_CERTS names a file with who does.
 */
export function connect(url: string, tokenFile?: string): Client<typeof TicketService> {
  return createClient(
    TicketService,
    createConnectTransport({
      baseUrl: url,
      httpVersion: "2",
      interceptors: tokenFile === undefined ? [] : [showing(tokenFile)],
      // A ticket is a few kilobytes; it can be some megabytes.
      readMaxBytes: 64 << 20,
      // A connection that is silent for so long is asked whether the other end is still there. Heartbeats come more often.
      pingIntervalMs: 20_000,
    }),
  );
}

/** Makes each call show the token in a file. It is read each time, so that it can be replaced. */
function showing(tokenFile: string): Interceptor {
  return (next) => async (request) => {
    const token = await readFile(tokenFile, "utf8");
    request.header.set("Authorization", `Bearer ${token.trim()}`);
    return next(request);
  };
}

/**
 * Keeps copy in step with ticketsvc until signal is aborted. It throws when something is wrong that does not pass.
 *
 * When it returns or throws the copy has been saved, unless that is what went wrong.
 */
export async function follow(client: Client<typeof TicketService>, copy: Copy, signal: AbortSignal): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  // Whichever of the two ends ends the other.
  const tasks = [receive(client, copy, either), save(copy, either)];
  const outcomes = await Promise.allSettled(tasks.map((task) => task.finally(() => stop.abort())));
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

async function receive(client: Client<typeof TicketService>, copy: Copy, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      const stream = client.watchTickets({ resumeToken: copy.token }, { signal, timeoutMs: streamTimeMs });
      console.error("following");
      for await (const message of stream) {
        copy.apply(message);
        failures = 0;
      }
      console.error("the stream ended without an error");
    } catch (err) {
      if (signal.aborted) {
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
          console.error(`ticketsvc refuses the token: give one of the scope read (${message})`);
          break;
        case Code.DeadlineExceeded:
          break;
        default:
          console.error(`the stream ended: ${message}`);
      }
    }
    // The pause grows, and chance has a part in it, so that not all come back at the same moment.
    await pause(Math.random() * Math.min(longestPauseMs, firstPauseMs * 2 ** failures), signal);
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
