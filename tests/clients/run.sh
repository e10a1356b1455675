#!/usr/bin/env bash
# The tests in this folder: real clients, from the registries, against `specreason serve --pair pocket`.
#   CLIENTS_ENV=/path  use this environment instead of making .venv-clients (7 GB: guidellm brings PyTorch)
set -euo pipefail
cd "$(dirname "$0")/../.."

env=${CLIENTS_ENV:-$PWD/.venv-clients}
here=tests/clients
if [ -z "${CLIENTS_ENV:-}" ] && { [ ! -e "$env/.ready" ] || [ $here/requirements.txt -nt "$env/.ready" ]; }; then
  echo "Setting up .venv-clients (7 GB, some minutes) ..."
  "${PYTHON:-python3}" -m venv "$env"
  "$env/bin/python" -m pip install --quiet --disable-pip-version-check -r $here/requirements.txt
  touch "$env/.ready"
fi
if ! command -v npm >/dev/null; then
  echo "no npm here: the JavaScript clients need Node 20" >&2
  exit 1
fi
npm install --prefix $here --no-audit --no-fund --silent

work=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ]; then kill -TERM "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

: >"$work/serve.log"
.venv/bin/specreason serve --pair pocket --port 0 2>"$work/serve.log" &
server=$!
for _ in $(seq 240); do
  url=$(sed -n 's/.*"address": "\([^"]*\)".*"event": "ready".*/\1/p' "$work/serve.log")
  if [ -n "$url" ]; then break; fi
  if ! kill -0 "$server" 2>/dev/null; then cat "$work/serve.log" >&2; exit 1; fi
  sleep 0.5
done
if [ -z "$url" ]; then cat "$work/serve.log" >&2; exit 1; fi

.venv/bin/specreason lab new-problem --json --count 12 --seed 7 >"$work/problems.jsonl"
export CLIENTS_URL=$url CLIENTS_PROBLEMS=$work/problems.jsonl CLIENTS_GRADER=$PWD/.venv/bin/python
"$env/bin/python" -m pytest --rootdir $here --confcutdir $here -c /dev/null -p no:cacheprovider -q $here "$@"
node --test $here/clients.test.mjs
