"""The emulated hardware's clock, on an event loop that skips the waiting: times are exact."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specreason.emulate.hardware import Hardware, Sequence, Worker
from specreason.emulate.prefix_cache import PrefixCache
from specreason.emulate.profiles import PAPER, PROFILES, Profile, Timing, profile_named
from specreason.emulate.skipping import SkippingLoop, run_skipping
from specreason.errors import ConfigError

TIMING = Timing("model", token_s=0.010, further_s=0.001, prefill=1000, overhead_s=0.005)
PROFILE = Profile("test", "", TIMING, replace(TIMING, token_s=0.002), beside=1.5, block=16)


def now() -> float:
    return asyncio.get_running_loop().time()


async def timed(worker: Worker, decode: int, compute: int = 1) -> list[float]:
    """When each token came."""
    times: list[float] = []
    done = asyncio.Event()

    def on_token() -> None:
        times.append(now())
        if len(times) == decode:
            done.set()

    ready = await worker.admitted(now())
    worker.join(Sequence(compute, decode, on_token), ready)
    await done.wait()
    return times


def workers(scale: float = 1.0) -> tuple[Worker, Worker]:
    both = Hardware(PROFILE, scale=scale).workers
    return both["base"], both["small"]


def exactly(times: list[float]) -> object:
    return pytest.approx(times, abs=1e-9)


def test_a_token_a_pass_after_the_overhead() -> None:
    async def main() -> None:
        assert await timed(workers()[0], 3) == exactly([0.015, 0.025, 0.035])
        assert await timed(workers(scale=10)[0], 2) == exactly([0.035 + 0.15, 0.035 + 0.25])

    run_skipping(main())


def test_a_batch_shares_one_clock() -> None:
    async def main() -> None:
        worker, _ = workers()
        one, other = await asyncio.gather(timed(worker, 3), timed(worker, 1))
        assert one == exactly([0.016, 0.026, 0.036])
        assert other == exactly([0.016])
        assert (worker.passes, worker.tokens, worker.running, worker.waiting) == (3, 4, 0, 0)

    run_skipping(main())


def test_a_pass_takes_as_long_as_computing_its_prompts_if_that_is_longer() -> None:
    async def main() -> None:
        assert await timed(workers()[0], 2, compute=100) == exactly([0.105, 0.115])
        long = await timed(workers()[0], 1, compute=5000)  # in chunks, and nothing is lost between them
        assert long == exactly([0.115 + 0.005 + 5.0])

    run_skipping(main())


def test_models_side_by_side_are_slower() -> None:
    async def main() -> None:
        base, small = workers()
        first, second = await asyncio.gather(timed(base, 2), timed(small, 20))
        assert first[-1] == pytest.approx(0.005 + 2 * 0.015, abs=0.016)
        assert second[-1] > 0.005 + 20 * 0.002
        alone, apart = Hardware(PROFILE, shared=False).workers.values()
        start = now()
        times = await asyncio.gather(timed(alone, 2), timed(apart, 20))
        assert [t[-1] - start for t in times] == exactly([0.025, 0.045])

    run_skipping(main())


def test_a_late_loop_does_not_slow_the_clock() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SkippingLoop)
        worker, _ = workers()
        task = asyncio.create_task(timed(worker, 10))
        for _ in range(4):
            await asyncio.sleep(0.015)
            loop.spend(0.008)  # the processor is busy with something else
        assert (await task)[-1] == pytest.approx(0.005 + 10 * 0.010, abs=1e-9)

    run_skipping(main())


def test_who_leaves_frees_the_hardware_at_once() -> None:
    async def main() -> None:
        worker, _ = workers()
        ready = await worker.admitted(now())
        seen: list[float] = []
        sequence = Sequence(1, 100, lambda: seen.append(now()))
        worker.join(sequence, ready)
        await asyncio.sleep(0.032)
        worker.leave(sequence)
        worker.leave(sequence)
        assert worker.running == 0
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not worker.busy
        assert len(seen) == 3
        start = now()
        assert (await timed(worker, 1))[0] - start == pytest.approx(0.015)

    run_skipping(main())


def test_who_leaves_the_queue_is_not_served() -> None:
    async def main() -> None:
        worker, _ = workers()
        nothing: Callable[[], None] = lambda: None  # noqa: E731
        first, second = Sequence(1, 5, nothing), Sequence(1, 5, nothing)
        ready = await worker.admitted(now())
        worker.join(first, ready)
        await asyncio.sleep(0.001)
        worker.join(second, now())
        assert (worker.running, worker.waiting) == (1, 1)
        worker.leave(second)
        await asyncio.sleep(1)
        assert worker.tokens == 5

    run_skipping(main())


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_every_sequence_gets_its_tokens(lengths: list[int]) -> None:
    async def main() -> None:
        worker, _ = workers()
        times = await asyncio.gather(*(timed(worker, length) for length in lengths))
        assert [len(told) for told in times] == lengths
        assert worker.tokens == sum(lengths)
        assert max(lengths) <= worker.passes <= max(lengths) + 1
        assert not worker.busy

    run_skipping(main())


@given(st.lists(st.integers(0, 3), max_size=80), st.lists(st.integers(0, 3), max_size=80))
def test_the_cache_knows_whole_blocks_of_what_it_saw(seen: list[int], asked: list[int]) -> None:
    cache = PrefixCache(capacity=1024, block=4)
    cache.keep(seen)
    common = next((n for n, (a, b) in enumerate(zip(seen, asked, strict=False)) if a != b), None)
    common = min(len(seen), len(asked)) if common is None else common
    assert cache.look_up(asked) == min(common // 4 * 4, max(0, (len(asked) - 1) // 4 * 4))
    assert cache.queries == len(asked)


def test_the_cache_forgets_what_was_not_used_for_longest() -> None:
    cache = PrefixCache(capacity=8, block=4)
    cache.keep([1, 2, 3, 4])
    cache.keep([5, 6, 7, 8])
    cache.keep([1, 2, 3, 4])
    cache.keep([9, 9, 9, 9])
    assert cache.look_up([1, 2, 3, 4, 0]) == 4
    assert cache.look_up([5, 6, 7, 8, 0]) == 0


def test_on_a_cpu_a_score_costs_many_tokens_and_on_a_gpu_one_or_two() -> None:
    def score_in_tokens(timing: Timing) -> float:
        return (timing.pass_s(1, 125) + timing.overhead_s) / timing.token_s

    assert 0.07 < PAPER.base.pass_s(1, 125) + PAPER.base.overhead_s < 0.09
    assert score_in_tokens(PAPER.base) < 2
    assert score_in_tokens(PROFILES["cpu"].base) > 30


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"'nothing'; there are: paper, h100, cpu"):
        profile_named("nothing")
