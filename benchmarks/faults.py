"""Problems through `specreason serve` while its model servers are killed, stopped and started again.

    make bench-faults

Both models of the pocket pair are llama.cpp servers, processes of their own. Every 1 to 4 seconds one of them
(the base model twice as often) is killed, frozen for up to 8 s, or restarted. Half of the requests are
streamed; clients honour `Retry-After`. Every reply is checked: the answer, and that the chain has each step
once. The same problems without faults come first, for comparison.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import re
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
from specreason_lab.problems import Problem, problems, stated_answer

from benchmarks.measuring import processor

SEED = 2
SLOTS = 16
RESUME_WITHIN_S = 60.0
HUNG_S = 240.0
_TRIES = 6  # of a client that is asked to come back
_ROOT = Path(__file__).parents[1]
_NUMBER = re.compile(r"^(\d+)\) ", re.MULTILINE)


@dataclass(slots=True)
class ModelServer:
    """One model's server. `away_since`: on the monotonic clock, while it does not answer."""

    role: str
    port: int
    process: Process | None = None
    away_since: float | None = None
    away_longest_s: float = 0.0

    async def start(self) -> None:
        command = ["-m", "benchmarks.llama_server", "--role", self.role, "--port", str(self.port)]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *command, "--slots", str(SLOTS), cwd=_ROOT, stdout=DEVNULL, stderr=DEVNULL
        )
        await until_ok(f"http://127.0.0.1:{self.port}/health")
        self.back()

    async def end(self, how: signal.Signals) -> None:
        assert self.process is not None
        self.away_since = self.away_since or time.monotonic()
        self.process.send_signal(how)
        await self.process.wait()

    async def freeze(self, seconds: float) -> None:
        assert self.process is not None
        self.away_since = time.monotonic()
        self.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)
        self.back()

    def back(self) -> None:
        if self.away_since is not None:
            self.away_longest_s = max(self.away_longest_s, time.monotonic() - self.away_since)
        self.away_since = None


@dataclass(slots=True)
class Reply:
    """How one problem ended. `end`: right, wrong, error, hung or lost; `tries`: requests sent for it.

    `twice`: a step of the chain came twice or is missing; `started`: the stream had started when it failed.
    """

    end: str
    tries: int
    code: str = ""
    twice: bool = False
    started: bool = False
    seconds: float = 0.0


@dataclass(slots=True)
class Sent:
    """What came of one request. `error`: the code of the error, if it ended with one."""

    status: int = 0
    thinking: str = ""
    answer: str = ""
    error: str = ""
    finished: bool = False
    retry_after: float | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--at-once", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-faults", type=int, default=100, help="problems of the comparison; 0: none")
    arguments = parser.parse_args()
    print(f"machine: {processor()}, Python {platform.python_version()}", flush=True)
    asyncio.run(run(arguments))


async def run(arguments: argparse.Namespace) -> None:
    sample = list(islice(problems(SEED, "test"), arguments.problems))
    calm: list[Reply] = []
    if arguments.without_faults:
        calm, _, _ = await solved(sample[: arguments.without_faults], arguments.at_once, None)
        print(f"without faults: {dict(Counter(reply.end for reply in calm))}", flush=True)
    replies, faults, away = await solved(sample, arguments.at_once, random.Random(arguments.seed))
    ends = Counter(reply.end for reply in replies)
    print(f"faults: {dict(faults)}; ends: {dict(ends)}; codes: {Counter(r.code for r in replies if r.code)}")
    print(f"sent again by clients: {sum(reply.tries - 1 for reply in replies)}")
    print(f"slowest: {sorted((round(r.seconds, 1) for r in replies), reverse=True)[:5]} s")
    result = {
        "problems": len(replies),
        "faults": faults.total(),
        "right": ends["right"],
        "wrong": ends["wrong"],
        "clear_errors": ends["error"],
        "hung": ends["hung"],
        "twice": sum(reply.twice for reply in replies),
        "lost": ends["lost"] + len(sample) - len(replies),
        "failed_after_start": sum(reply.started and reply.end == "error" for reply in replies),
        "base_away_longest_s": round(away, 1),
        "twice_without_faults": sum(reply.twice for reply in calm),
        "right_without_faults": f"{sum(r.end == 'right' for r in calm)} of {len(calm)}",
    }
    print("RESULT", json.dumps(result))


async def solved(
    sample: Sequence[Problem], at_once: int, rng: random.Random | None
) -> tuple[list[Reply], Counter[str], float]:
    """All replies, the faults that were made, and the longest time (s) that the base model was away."""
    async with serving(at_once) as (url, base, small):
        faults: Counter[str] = Counter()
        trouble = asyncio.create_task(make_trouble(base, small, rng, faults)) if rng else None
        waiting = list(enumerate(sample))
        replies: list[Reply] = []
        limits = httpx2.Limits(max_connections=4 * at_once)
        async with httpx2.AsyncClient(base_url=url, timeout=HUNG_S, limits=limits, trust_env=False) as client:

            async def work() -> None:
                while waiting:
                    number, problem = waiting.pop(0)
                    replies.append(await answered(client, problem, stream=number % 2 == 0))

            await asyncio.gather(*(work() for _ in range(at_once)))
        if trouble is not None:
            trouble.cancel()
            await asyncio.gather(trouble, return_exceptions=True)
        base.back()
        return replies, faults, base.away_longest_s


async def make_trouble(
    base: ModelServer, small: ModelServer, rng: random.Random, faults: Counter[str]
) -> None:
    """One fault after the other, for ever; what is taken away is brought back."""
    while True:
        await asyncio.sleep(rng.uniform(1.0, 4.0))
        model, kind = rng.choice([base, base, small]), rng.choice(["kill", "kill", "freeze", "restart"])
        faults[f"{model.role} {kind}"] += 1
        if kind == "freeze":
            await model.freeze(rng.uniform(0.3, 8.0))
            continue
        await model.end(signal.SIGKILL if kind == "kill" else signal.SIGTERM)
        if kind == "kill":
            await asyncio.sleep(rng.uniform(0.2, 6.0))
        await model.start()


async def answered(client: httpx2.AsyncClient, problem: Problem, *, stream: bool) -> Reply:
    """One problem, asked for until there is a reply or the client gives up."""
    started = time.monotonic()
    for tries in range(1, _TRIES + 1):
        sent = Sent()
        try:
            async with asyncio.timeout(HUNG_S):
                await (_streamed if stream else _whole)(client, problem, sent)
        except TimeoutError:
            return Reply("hung", tries, seconds=time.monotonic() - started)
        except httpx2.HTTPError as error:
            return Reply("lost", tries, type(error).__name__, seconds=time.monotonic() - started)
        if sent.status in {429, 503, 504} and sent.retry_after is not None and tries < _TRIES:
            await asyncio.sleep(sent.retry_after)
            continue
        return _judged(sent, problem, tries, time.monotonic() - started)
    raise AssertionError("unreachable")


def _judged(sent: Sent, problem: Problem, tries: int, seconds: float) -> Reply:
    numbers = [int(number) for number in _NUMBER.findall(sent.thinking)]
    twice = numbers != list(range(1, len(numbers) + 1))
    if sent.error:
        return Reply("error", tries, sent.error, twice, started=sent.status == 200, seconds=seconds)
    if not sent.finished:
        return Reply("lost", tries, "no end", twice, seconds=seconds)
    right = stated_answer(sent.answer) == problem.answer
    return Reply("right" if right else "wrong", tries, "", twice, seconds=seconds)


async def _streamed(client: httpx2.AsyncClient, problem: Problem, sent: Sent) -> None:
    async with client.stream("POST", "/v1/chat/completions", json=_body(problem, stream=True)) as response:
        sent.status = response.status_code
        if response.status_code != 200:
            _refused(response, await response.aread(), sent)
            return
        async for line in response.aiter_lines():
            if line == "data: [DONE]":
                sent.finished = not sent.error
            elif line.startswith("data: {"):
                chunk: dict[str, Any] = json.loads(line[6:])
                if error := chunk.get("error"):
                    sent.error = str(error.get("code"))
                for choice in chunk.get("choices") or ():
                    sent.thinking += choice["delta"].get("reasoning") or ""
                    sent.answer += choice["delta"].get("content") or ""


async def _whole(client: httpx2.AsyncClient, problem: Problem, sent: Sent) -> None:
    response = await client.post("/v1/chat/completions", json=_body(problem, stream=False))
    sent.status = response.status_code
    if response.status_code != 200:
        _refused(response, response.content, sent)
        return
    message = response.json()["choices"][0]["message"]
    sent.thinking, sent.answer = message.get("reasoning") or "", message["content"] or ""
    sent.finished = True


def _refused(response: httpx2.Response, body: bytes, sent: Sent) -> None:
    sent.error = str(json.loads(body)["error"]["code"])
    after = response.headers.get("retry-after")
    sent.retry_after = float(after) if after else None


def _body(problem: Problem, *, stream: bool) -> dict[str, Any]:
    message = {"role": "user", "content": problem.text}
    return {"model": "specreason", "messages": [message], "stream": stream}


@asynccontextmanager
async def serving(at_once: int) -> AsyncGenerator[tuple[str, ModelServer, ModelServer]]:
    """Both model servers and `specreason serve` in front of them; its address."""
    base, small = ModelServer("base", _free_port()), ModelServer("small", _free_port())
    port = _free_port()
    settings = {
        "PAIR": "pocket",
        "BASE__URL": f"http://127.0.0.1:{base.port}/v1",
        "SMALL__URL": f"http://127.0.0.1:{small.port}/v1",
        "SERVER__CONCURRENCY": str(at_once),
        "SERVER__QUEUE": "500",
        "SERVER__RESUME_WITHIN": str(RESUME_WITHIN_S),
        "SERVER__LOG_LEVEL": "error",
    }
    environment = {**os.environ, **{f"SPECREASON_{key}": value for key, value in settings.items()}}
    server: Process | None = None
    with tempfile.TemporaryDirectory() as folder:  # no settings of the folder that this is called from
        try:
            await asyncio.gather(base.start(), small.start())
            server = await asyncio.create_subprocess_exec(
                str(Path(sys.executable).with_name("specreason")),
                "serve",
                "--port",
                str(port),
                env=environment,
                cwd=folder,
            )
            await until_ok(f"http://127.0.0.1:{port}/ready")
            yield f"http://127.0.0.1:{port}", base, small
        finally:
            for process in (server, base.process, small.process):
                if process is not None and process.returncode is None:
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                    await process.wait()


async def until_ok(url: str, within_s: float = 60.0) -> None:
    """Wait until `url` answers 200. Raises TimeoutError."""
    async with asyncio.timeout(within_s), httpx2.AsyncClient(timeout=2, trust_env=False) as client:
        while True:
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


if __name__ == "__main__":
    main()
