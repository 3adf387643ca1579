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
from collections import Counter

import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

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
    parser.add_argument("--base", required=True)
    parser.add_argument("--spec", required=True)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    load_all_checks()
    names = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
    checks = CHECKS.get_by_names(names)
    schema = schemathesis.openapi.from_dict(document(arguments.spec))
    operation = schema[PATH]["POST"]
    counted = {}
    for mode in [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]:
        statuses = Counter()

        @seed(arguments.seed)
        @settings(
            max_examples=arguments.examples,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def answers_as_documented(case):
            response = case.call(base_url=arguments.base)
            statuses[response.status_code] += 1
            case.validate_response(response, checks=checks)
            if mode is GenerationMode.POSITIVE:
                assert response.status_code == 201, f"{case.body!r}: {response.text}"

        answers_as_documented()
        counted[mode.value] = dict(statuses)
    json.dump(counted, sys.stdout)


if __name__ == "__main__":
    main()
