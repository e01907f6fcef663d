/**
 * Stops a follower while it writes its file, just after a message has come that is not in what is being written. It prints the token that
 * the file has in the end.
 */
import { EventEmitter, once } from "node:events";

import { createClient, createRouterTransport } from "@connectrpc/connect";

import { TicketService } from "../gen/allthings/ticket/v1/ticket_service_pb.js";
import { Copy } from "../src/copy.js";
import { follow } from "../src/follow.js";

const path = process.argv[2] ?? "";
/** Emits what this is about, as it happens. */
const happens = new EventEmitter();
const writing = once(happens, "writing");
const applied = once(happens, "applied");
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
    happens.emit("applied");
  }
};
const save = copy.save.bind(copy);
copy.save = async () => {
  // What is written is what there is at the moment of the call.
  const saving = save();
  if (copy.token === "before") {
    happens.emit("writing");
    await applied;
    stop.abort();
  }
  await saving;
};
await follow({ client: createClient(TicketService, transport), silence: 60 }, copy, stop.signal);
console.log((await Copy.open(path)).token);
