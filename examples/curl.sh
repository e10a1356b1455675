#!/bin/sh
# The API with nothing but curl.
#
#   specreason serve            # in another terminal
#   sh examples/curl.sh
set -eu
URL="${OPENAI_BASE_URL:-http://127.0.0.1:8080/v1}"
KEY="${OPENAI_API_KEY:-none}"

curl --silent --show-error --fail "$URL/models" -H "Authorization: Bearer $KEY"
echo

# One answer.
curl --silent --show-error --fail "$URL/chat/completions" \
  -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \
  -d '{
    "model": "specreason",
    "messages": [{"role": "user", "content": "What is 12 * 13?"}],
    "max_completion_tokens": 200,
    "specreason": {"policy": {"specreason": {"threshold": 5}}, "include_steps": true}
  }'
echo

# A stream: thinking in `reasoning`, then the answer in `content`. --no-buffer shows it as it comes.
curl --silent --show-error --fail --no-buffer "$URL/chat/completions" \
  -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \
  -d '{
    "model": "specreason",
    "messages": [{"role": "user", "content": "What is 12 * 13?"}],
    "max_completion_tokens": 200,
    "stream": true,
    "stream_options": {"include_usage": true}
  }'
