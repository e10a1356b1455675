"""A llama.cpp server with a model of the pocket pair, as a process of its own that can be killed.

    python -m benchmarks.llama_server --role base --port 9000 --slots 16

It is the server that llama-server is, from the same wheel as the embedded engine; the flags that would set it
up so are in docs/engines.md.
"""

import argparse
import asyncio
import importlib
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from specreason import EngineSettings
from specreason.engines import llama_cpp
from specreason.models import cache

CONTEXT = 1024  # tokens a slot; a problem of the pocket pair takes fewer than 500
_START_S = 60.0


@asynccontextmanager
async def running(
    role: Literal["base", "small"], *, slots: int, cache_ram: int = 0, port: int = 0
) -> AsyncGenerator[str, None]:
    """The server as a process of its own, ready; its address, to be used as the `url` of a model."""
    options = ["--role", role, "--port", str(port), "--slots", str(slots), "--cache-ram", str(cache_ram)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.llama_server",
        *options,
        cwd=Path(__file__).parents[1],
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        address = await asyncio.wait_for(process.stdout.readline(), _START_S)
        yield f"{address.decode().strip()}/v1"
    finally:
        process.kill()
        await process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--role", choices=["base", "small"], required=True)
    parser.add_argument("--port", type=int, default=0, help="0: one that is free")
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache-ram", type=int, default=0, help="MiB of host-memory prompt cache")
    arguments = parser.parse_args()
    model = f"specreason-pocket-{arguments.role}"
    settings = EngineSettings(
        model=model, context=CONTEXT, parallel=arguments.slots, threads=arguments.threads
    )
    params = llama_cpp.server_parameters(cache.require(model), settings)
    params.port, params.cache_ram_mib = arguments.port, arguments.cache_ram
    server: Any = importlib.import_module("xllamacpp").Server(params)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
