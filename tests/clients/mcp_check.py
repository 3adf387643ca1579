"""The official client of the Model Context Protocol against /mcp: lists the tools and calls each as an agent would.

    mcp_check.py --url URL --trace ID [--token TOKEN] [--workspace NAME]

Prints what every tool answered, as JSON: {"tools": [...], "server": NAME, "answers": {NAME: {"is_error", "text"}}}.
"""

import argparse
import asyncio
import json
import sys

import httpx2
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


def calls(trace):
    return {
        "search_traces": {"q": "has:error started:>2026-01-01"},
        "get_trace": {"trace_id": trace},
        "get_conversation": {"trace_id": trace},
        "usage": {"by": "model", "since": "2026-03-01", "until": "2026-03-04"},
        "explain_cost": {"trace_id": trace},
        "query_sql": {"sql": "SELECT count() AS spans FROM otel_traces"},
    }


def further():
    return {
        "a wrong search": ("search_traces", {"q": "modle:x"}),
        "a wrong argument": ("search_traces", {"query": "x"}),
        "a write": ("query_sql", {"sql": "DROP TABLE otel_traces"}),
        "a network": ("query_sql", {"sql": "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')"}),
        "an unknown trace": ("get_conversation", {"trace_id": "none/../x"}),
    }


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--trace", required=True)
    parser.add_argument("--token")
    parser.add_argument("--workspace")
    arguments = parser.parse_args()
    headers = {}
    if arguments.token:
        headers["Authorization"] = f"Bearer {arguments.token}"
    if arguments.workspace:
        headers["x-millrace-workspace"] = arguments.workspace
    answers = {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        streamable_http_client(arguments.url, http_client=http) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        server = (await session.initialize()).server_info.name
        tools = [tool.name for tool in (await session.list_tools()).tools]
        wanted = {name: (name, given) for name, given in calls(arguments.trace).items()} | further()
        for label, (name, given) in wanted.items():
            result = await session.call_tool(name, given)
            answers[label] = {"is_error": bool(result.is_error), "text": "".join(part.text for part in result.content)}
    json.dump({"tools": tools, "server": server, "answers": answers}, sys.stdout)


asyncio.run(main())
