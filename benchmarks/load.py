"""The server under load: what it adds to each step, with a scripted pair behind it, on loopback.

    make bench-load            # 10,000 requests, 64 at a time, about three minutes

The server is a process of its own. Its engines write a token every PACE_S by the clock, as a model server
does, so a step has a known length; what a client sees beyond that is added by us: the loop, the translation,
HTTP, and the waiting of 64 streams for one interpreter. The client's own lag is in it too.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from specreason import ServerSettings, Settings
from specreason.config.scheme import Role
from specreason.engines.protocol import Generation, Meter, NextToken, Piece, Prompt, Sampling
from specreason.engines.scripted import ScriptedEngine, words
from specreason.server.logs import configure
from specreason.server.run import address, bound, opened, settle

PACE_S = 0.03  # seconds a token; a score takes as long
DRAFTS = ("Two and two is 4.\n\n", "Twice that is 9.\n\n", "Half of it is 4.\n\n", "That is all.\n</think>")
REWRITE = "Twice that is 8.\n\n"
BASE = ("", REWRITE, "", "")
WARM_UP = 4  # requests of each stream before the memory is looked at
LONGEST_S = 280


@dataclass(slots=True)
class PacedEngine(ScriptedEngine):
    """Writes by the clock, so that no lateness of ours adds up."""

    def generate(
        self,
        prompt: Prompt,
        *,
        sampling: Sampling,
        max_tokens: int,
        stop: Sequence[str] = (),
        session: str = "",
    ) -> Generation:
        """See `ScriptedEngine`."""

        async def pieces(meter: Meter) -> AsyncGenerator[Piece, None]:
            written = ScriptedEngine.generate(self, prompt, sampling=sampling, max_tokens=max_tokens)
            due = time.perf_counter()
            try:
                async for piece in written:
                    due += PACE_S
                    await asyncio.sleep(due - time.perf_counter())
                    meter.usage = written.usage
                    yield piece
                meter.finish = written.finish
            finally:
                await written.aclose()

        return Generation(pieces)

    async def next_token_logprobs(
        self, prompt: Prompt, *, candidates: Sequence[str] = (), session: str = ""
    ) -> NextToken:
        """See `ScriptedEngine`."""
        await asyncio.sleep(PACE_S)
        return await ScriptedEngine.next_token_logprobs(self, prompt)


@dataclass
class Seen:
    """What the clients saw. Seconds added to each step; requests that failed, and why."""

    added_s: list[float] = field(default_factory=list[float])
    errors: list[str] = field(default_factory=list[str])
    requests: int = 0


def expected_s() -> list[float]:
    """How long the engines need for each step: its draft, its score, its rewrite."""
    tokens = [len(words(text)) for text in DRAFTS]
    seconds = [(count + 1) * PACE_S for count in tokens]
    seconds[DRAFTS.index("Twice that is 9.\n\n")] += len(words(REWRITE)) * PACE_S
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.streams))
    else:
        sys.exit(asyncio.run(measured(arguments.requests, arguments.streams)))


async def serve(streams: int) -> None:
    """The server's process: tells its address on standard output, stops when standard input closes."""
    pair: dict[Role, ScriptedEngine] = {
        "base": PacedEngine(
            "base", steps=BASE, answer="It is \\boxed{8}.", scores={"is 9": "2"}, record=False
        ),
        "small": PacedEngine("small", steps=DRAFTS, record=False),
    }
    settings = Settings(
        server=ServerSettings(port=0, concurrency=streams, queue=streams, log_level="warning")
    )
    configure(settings.server)
    with bound(settings.server) as door:
        async with opened(settings, pair) as server:
            settle()
            serving = asyncio.create_task(server.serve([door]))
            print(address(door), flush=True)
            await asyncio.to_thread(sys.stdin.read)
            server.should_exit = True
            await serving


async def measured(requests: int, streams: int) -> int:
    """Run the load, print the report; the exit code is 1 if anything failed."""
    print(
        f"machine: {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load", "--serve", "--streams", str(streams),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        settle()
        await load(url, streams * WARM_UP, streams)
        start_mb = resident_mb(process.pid)
        began = time.perf_counter()
        seen = await load(url, requests, streams)
        seconds = time.perf_counter() - began
        end_mb = resident_mb(process.pid)
    finally:
        process.stdin.close()
        await process.wait()
    report(seen, streams, seconds, start_mb, end_mb)
    return 1 if seen.errors else 0


async def load(url: str, requests: int, streams: int) -> Seen:
    """`requests` requests, `streams` of them at any time."""
    seen, numbers = Seen(), iter(range(requests))

    async def client(delay_s: float) -> None:
        await asyncio.sleep(delay_s)  # streams in step with one another would all want the same moment
        for _ in numbers:
            seen.requests += 1
            try:
                seen.added_s += await one_request(url)
            except (OSError, ValueError, asyncio.IncompleteReadError) as error:
                seen.errors.append(f"{type(error).__name__}: {error}")

    async with asyncio.timeout(LONGEST_S):
        await asyncio.gather(*(client(n / streams) for n in range(streams)))
    return seen


async def one_request(url: str) -> list[float]:
    """The seconds added to each step of one streamed request. Raises ValueError if it does not end well."""
    body = {"model": "specreason", "stream": True, "messages": [{"role": "user", "content": "Twice 2 + 2?"}]}
    content = json.dumps(body).encode()
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        return await added(reader)
    finally:
        writer.close()


async def added(reader: asyncio.StreamReader) -> list[float]:
    """Read a stream to its end; the seconds by which each step was later than its engines."""
    expected = expected_s()
    last = time.perf_counter()
    late: list[float] = []
    finished = False
    async with aclosing(lines(reader)) as sent:
        async for line in sent:
            if line.startswith(b"HTTP/1.1") and b" 200 " not in line:
                raise ValueError(line.decode().strip())
            if b'"reasoning":' in line:
                now = time.perf_counter()
                late.append(now - last - expected[len(late)])
                last = now
            finished = finished or line.startswith(b"data: [DONE]")
    if not finished or len(late) != len(DRAFTS):
        raise ValueError(f"a stream of {len(late)} steps ended {'' if finished else 'not '}with [DONE]")
    return late


async def lines(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    while line := await reader.readline():
        yield line


def resident_mb(pid: int | str) -> float:
    """The memory that a process holds (MB); Linux only. "self" is this one."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def report(seen: Seen, streams: int, seconds: float, start_mb: float, end_mb: float) -> None:
    hundredths = statistics.quantiles(seen.added_s or [0.0, 0.0], n=100)
    print(f"{seen.requests} requests in {seconds:.0f} s; server RSS {start_mb:.1f} -> {end_mb:.1f} MB")
    for error in sorted(set(seen.errors))[:5]:
        print(f"error: {error}")
    result = {
        "streams": streams,
        "requests": seen.requests,
        "steps_per_second": round(len(seen.added_s) / seconds, 1),
        "added_ms_p50": round(hundredths[49] * 1000, 2),
        "added_ms_p99": round(hundredths[98] * 1000, 2),
        "rss_growth_mb": round(end_mb - start_mb, 1),
        "errors": len(seen.errors),
    }
    print(f"RESULT {json.dumps(result)}")


if __name__ == "__main__":
    main()
