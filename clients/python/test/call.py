"""Makes one call with grpcio and prints the outcome.

The test of all clients and protocols (ticketsvc/internal/interop) writes the call to standard input.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict

from allthings.ticket.v1 import ticket_service_pb2
from allthings.ticket.v1.ticket_service_pb2_grpc import TicketServiceStub


def call(job: dict[str, Any]) -> dict[str, Any]:
    request = ParseDict(job["request"], getattr(ticket_service_pb2, job["method"] + "Request")())
    options = [("grpc.max_receive_message_length", job["maxBytes"])] if job["maxBytes"] else []
    compression = grpc.Compression.Gzip if job["gzip"] else grpc.Compression.NoCompression
    outcome: dict[str, Any] = {"code": 0, "message": "", "status": "", "answers": []}
    with grpc.insecure_channel(job["url"].removeprefix("http://"), options) as channel:
        method = getattr(TicketServiceStub(channel), job["method"])  # type: ignore[no-untyped-call]
        metadata = [("authorization", "Bearer " + job["token"])]
        try:
            answer = method(request, timeout=job["timeoutMs"] / 1000, metadata=metadata, compression=compression)
            for message in answer if job["method"] == "WatchTickets" else [answer]:
                outcome["answers"].append(MessageToDict(message))
                if len(outcome["answers"]) == job["enough"]:
                    break
        except grpc.RpcError as err:
            outcome["code"], outcome["message"] = err.code().value[0], err.details()
            # This metadata has the details, as a google.rpc.Status.
            status = dict(err.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
            outcome["status"] = base64.b64encode(status).decode()
    return outcome


print(json.dumps(call(json.load(sys.stdin))))
