/**
 * Makes one call with Connect-ES and prints the outcome. The test of all clients and protocols (ticketsvc/internal/interop) writes the call
 * to standard input.
 */
import { text } from "node:stream/consumers";

import { type DescMethodStreaming, type DescMethodUnary, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { ConnectError, type Transport } from "@connectrpc/connect";
import { compressionGzip, createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { createAsyncIterable } from "@connectrpc/connect/protocol";

import { TicketService } from "../gen/allthings/ticket/v1/ticket_service_pb.js";

interface Job {
  url: string;
  protocol: "connect" | "grpc" | "grpc-web";
  /** The name of an RPC of TicketService. */
  method: string;
  request: JsonValue;
  token: string;
  /** The maximum time of the call. */
  timeoutMs: number;
  /** The maximum size of a response; 0 for the default. */
  maxBytes: number;
  /** Whether the request is compressed. */
  gzip: boolean;
  /** The number of messages after which a stream is ended; 0 for never. */
  enough: number;
}

interface Outcome {
  /** The number of the code, 0 for OK. */
  code: number;
  message: string;
  details: { type: string; value: string }[];
  /** The response, or the messages of a stream. */
  answers: JsonValue[];
}

function transportFor(job: Job): Transport {
  const options = {
    baseUrl: job.url,
    httpVersion: "2" as const,
    ...(job.maxBytes > 0 && { readMaxBytes: job.maxBytes }),
    ...(job.gzip && { sendCompression: compressionGzip }),
  };
  switch (job.protocol) {
    case "connect":
      return createConnectTransport(options);
    case "grpc":
      return createGrpcTransport(options);
    case "grpc-web":
      return createGrpcWebTransport(options);
  }
}

async function call(job: Job): Promise<Outcome> {
  const outcome: Outcome = { code: 0, message: "", details: [], answers: [] };
  const method = TicketService.methods.find(({ name }) => name === job.method);
  if (method === undefined) {
    throw new Error(`there is no method ${job.method}`);
  }
  const header = { Authorization: `Bearer ${job.token}` };
  const request = fromJson(method.input, job.request);
  try {
    const transport = transportFor(job);
    if (method.methodKind === "unary") {
      const { message } = await transport.unary(method as DescMethodUnary, undefined, job.timeoutMs, header, request);
      outcome.answers.push(toJson(method.output, message));
      return outcome;
    }
    const stop = new AbortController();
    const requests = createAsyncIterable([request]);
    const { message } = await transport.stream(method as DescMethodStreaming, stop.signal, job.timeoutMs, header, requests);
    for await (const one of message) {
      outcome.answers.push(toJson(method.output, one));
      if (outcome.answers.length === job.enough) {
        break;
      }
    }
    stop.abort();
  } catch (err) {
    const { code, rawMessage, details } = ConnectError.from(err);
    outcome.code = code;
    outcome.message = rawMessage;
    for (const detail of details) {
      if ("type" in detail) {
        outcome.details.push({ type: detail.type, value: Buffer.from(detail.value).toString("base64") });
      }
    }
  }
  return outcome;
}

const outcome = JSON.stringify(await call(JSON.parse(await text(process.stdin)) as Job));
// Without this call the process would wait for idle connections.
process.stdout.write(outcome, () => process.exit());
