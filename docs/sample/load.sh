#!/bin/sh
# Loads the sample that docs/queries.md asks: three days of a mill's shop. URL is that of Millrace's HTTP receiver.
set -eu
URL=${1:-http://127.0.0.1:4318}
cd "$(dirname "$0")"
curl -sSf "$URL/v1/traces" -H 'Content-Type: application/json' --data-binary @spans.json
curl -sSf "$URL/apis/intake/v2/workspaces/default/ingest/chat-completions" -H 'Content-Type: application/x-ndjson' --data-binary @pairs.ndjson
