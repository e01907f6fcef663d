/**
 * Stops a follower while it writes its file, after a message was applied that is not in the written content. It prints the token in the
 * file at the end.
 */
import { EventEmitter, once } from "node:events";

import { createClient, createRouterTransport } from "@connectrpc/connect";

import { TicketService } from "../gen/allthings/ticket/v1/ticket_service_pb.js";
import { Copy } from "../src/copy.js";
import { follow } from "../src/follow.js";

const path = process.argv[2] ?? "";
/** Emits "writing" and "applied". */
const progress = new EventEmitter();
const writing = once(progress, "writing");
const applied = once(progress, "applied");
const stop = new AbortController();

const transport = createRouterTransport(({ service }) => {
  service(TicketService, {
    async *watchTickets(_, { signal }) {
      yield { resumeToken: "before", message: { case: "heartbeat", value: {} } };
      await writing;
      yield { resumeToken: "meanwhile", message: { case: "heartbeat", value: {} } };
      await once(signal, "abort");
    },
  });
});

const copy = await Copy.open(path);
const apply = copy.apply.bind(copy);
copy.apply = (message) => {
  apply(message);
  if (message.resumeToken === "meanwhile") {
    progress.emit("applied");
  }
};
const save = copy.save.bind(copy);
copy.save = async () => {
  // save writes the copy as it is at the moment of the call.
  const saving = save();
  if (copy.token === "before") {
    progress.emit("writing");
    await applied;
    stop.abort();
  }
  await saving;
};
await follow({ client: createClient(TicketService, transport), silence: 60 }, copy, stop.signal);
console.log((await Copy.open(path)).token);
