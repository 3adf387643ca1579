"""Schemathesis against the chat ingest: bodies that fit the OpenAPI document, and bodies that do not.

    schemathesis_chat.py --base URL --spec FILE [--examples N] [--seed N]

Fails for an answer of 5xx, a status or content type that the document does not list, a body that does not fit the document,
and for a body that fits and is refused. Prints how many requests were answered with which status (JSON).

The document is used as it is published but where it says less than the reference does, or what no server can do: the body is
required; `response` is `oneOf` two schemas that accept anything, so that nothing fits exactly one; unknown members are
refused; costs are not negative; the names of workspaces, traces and cost details have their characters and lengths.
"""

import argparse
import json
import sys

import schemathesis
import yaml
from schemathesis import GenerationMode

from schemathesis_loop import MODES, add_arguments, ask, checks_of

PATH = "/apis/intake/v2/workspaces/{workspace}/ingest/chat-completions"


def document(path):
    with open(path, encoding="utf-8") as file:
        read = yaml.safe_load(file)
    schemas = read["components"]["schemas"]
    schemas["CapturedChatCompletionsResponse"] = {
        "anyOf": [
            {"type": "object", "required": ["choices"], "properties": {"choices": {"type": "array", "items": {"type": "object"}}}},
            {"type": "object", "required": ["error"], "properties": {"error": {"type": "object"}}},
        ]
    }
    body = schemas["ChatCompletionsIngestRequest"]
    body["additionalProperties"] = False
    for name in ["cost_usd", "cost_input_usd", "cost_output_usd"]:
        body["properties"][name].update(minimum=0, maximum=1000)
    body["properties"]["cost_details"]["additionalProperties"].update(minimum=0, maximum=1000)
    body["properties"]["cost_details"]["propertyNames"] = {"pattern": "^[a-z_]{1,64}$"}
    body["properties"]["trace_id"].update(pattern="^[a-z]{1,32}$")
    read["paths"][PATH]["post"]["requestBody"]["required"] = True
    read["paths"][PATH]["post"]["parameters"][0]["schema"].update(pattern="^[a-z0-9]{1,32}$")
    return read


def main():
    parser = argparse.ArgumentParser()
    add_arguments(parser, examples=100)
    parser.add_argument("--spec", required=True)
    arguments = parser.parse_args()
    checks = checks_of("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
    operation = schemathesis.openapi.from_dict(document(arguments.spec))[PATH]["POST"]

    def is_taken(case, response):
        assert response.status_code == 201, f"{case.body!r}: {response.text}"

    counted = {}
    for mode in MODES:
        also = is_taken if mode is GenerationMode.POSITIVE else None
        counted[mode.value] = dict(ask(operation, mode, arguments, checks, shrinks=True, also=also))
    json.dump(counted, sys.stdout)


if __name__ == "__main__":
    main()
