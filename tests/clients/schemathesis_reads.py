"""Schemathesis against every GET of a running Millrace that its own document at /openapi.json describes.

    schemathesis_reads.py --base URL --workspace NAME --trace ID --span ID [--examples N] [--seed N]

Fails for an answer of 5xx, a content type that the document does not list, and a body that does not fit the document. What is
asked for is there in some requests: the workspace, a trace and a span are given. Prints how many requests were answered with
which status (JSON).
"""

import argparse
import json
import sys
import urllib.request
from collections import Counter

import schemathesis

from schemathesis_loop import MODES, add_arguments, ask, checks_of


def document(arguments):
    with urllib.request.urlopen(f"{arguments.base}/openapi.json", timeout=60) as answer:
        read = json.load(answer)
    # a path is written and changed nowhere: what is not read is left out
    read["paths"] = {
        path: {name: item for name, item in of_path.items() if name in ("get", "parameters")}
        for path, of_path in read["paths"].items()
        if "get" in of_path
    }
    parameters = read["components"]["parameters"]
    parameters["path_workspace"]["schema"] = {"enum": [arguments.workspace, "nobody"]}
    for name, known in [("path_trace_id", arguments.trace), ("path_span_id", arguments.span)]:
        parameters[name]["schema"] = {"anyOf": [{"const": known}, {"type": "string", "minLength": 1, "maxLength": 40}]}
    return read


def main():
    parser = argparse.ArgumentParser()
    add_arguments(parser, examples=8)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--trace", required=True)
    parser.add_argument("--span", required=True)
    arguments = parser.parse_args()
    checks = checks_of("not_a_server_error", "content_type_conformance", "response_schema_conformance")
    schema = schemathesis.openapi.from_dict(document(arguments))
    counted = {}
    failures = []
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in MODES:
            statuses = counted.setdefault(operation.path, Counter())
            try:
                statuses.update(ask(operation, mode, arguments, checks))
            except Exception as failure:  # each path says what is wrong with it
                statuses.update(getattr(failure, "statuses", {}))
                name = type(failure).__name__
                if name in ("Unsatisfiable", "SkipTest") or "cannot be negated" in str(failure):
                    continue
                failures.append(f"{operation.path} {mode.value}: {name}: {failure}"[:3000])
    for failure in failures:
        print(failure, file=sys.stderr)
    json.dump(counted, sys.stdout)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
