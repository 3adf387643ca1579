"""Sends one OTLP/gRPC request with plain grpcio, without retries, and prints the whole answer.

    grpc_answer.py ENDPOINT [--spans N] [--span-bytes N] [--compression gzip|none] [--until CODE --requests N]

The request has N spans of the service `probe`. With `--until`, sends up to `--requests` of them (each with spans of its
own) until one is answered with that status code. Prints JSON: the answers' codes with the span ids each carried, and of
the last answer the details as any client can read them: the trailers `grpc-status-details-bin` (a google.rpc.Status)
and `google.rpc.retryinfo-bin` (a google.rpc.RetryInfo).
"""

import argparse
import json
import os
import time

import grpc
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


def make_request(spans, span_bytes):
    request = trace_service_pb2.ExportTraceServiceRequest()
    if spans == 0:
        return request, []
    resource = request.resource_spans.add()
    attribute = resource.resource.attributes.add(key="service.name")
    attribute.value.string_value = "probe"
    scope = resource.scope_spans.add()
    trace_id, ids, now = os.urandom(16), [], time.time_ns()
    for i in range(spans):
        span_id = os.urandom(8)
        ids.append(span_id.hex())
        span = scope.spans.add(
            trace_id=trace_id, span_id=span_id, name=f"probe {i}", start_time_unix_nano=now, end_time_unix_nano=now + 1
        )
        filler = span.attributes.add(key="filler")
        filler.value.string_value = os.urandom(span_bytes // 2).hex()
    return request, ids


def seconds(delay):
    return delay.seconds + delay.nanos / 1e9


def answer_of(stub, request):
    try:
        response, call = stub.Export.with_call(request, timeout=30)
    except grpc.RpcError as error:
        return error.code().name, error.details(), dict(error.trailing_metadata() or ()), None
    partial = response.partial_success if response.HasField("partial_success") else None
    return "OK", "", dict(call.trailing_metadata() or ()), partial


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("endpoint", help="host:port")
    parser.add_argument("--spans", type=int, default=1)
    parser.add_argument("--span-bytes", type=int, default=16)
    parser.add_argument("--compression", choices=["gzip", "none"], default="none")
    parser.add_argument("--until", help="a status code's name, e.g. UNAVAILABLE")
    parser.add_argument("--requests", type=int, default=1)
    args = parser.parse_args()

    compression = grpc.Compression.Gzip if args.compression == "gzip" else grpc.Compression.NoCompression
    options = [("grpc.enable_retries", 0), ("grpc.max_send_message_length", -1)]
    answers = []
    with grpc.insecure_channel(args.endpoint, compression=compression, options=options) as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        stub = trace_service_pb2_grpc.TraceServiceStub(channel)
        while len(answers) < args.requests:
            request, ids = make_request(args.spans, args.span_bytes)
            code, message, trailers, partial = answer_of(stub, request)
            answers.append({"code": code, "span_ids": ids})
            if code == args.until:
                break

    last = {"code": code, "message": message, "partial_success": partial is not None}
    if details := trailers.get("grpc-status-details-bin"):
        status = status_pb2.Status.FromString(details)
        last["details_code"], last["details_message"] = status.code, status.message
        for detail in status.details:
            info = error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                last["details_retry_seconds"] = seconds(info.retry_delay)
    if info := trailers.get("google.rpc.retryinfo-bin"):
        last["trailer_retry_seconds"] = seconds(error_details_pb2.RetryInfo.FromString(info).retry_delay)
    print(json.dumps({"answers": answers, "last": last}))


if __name__ == "__main__":
    main()
