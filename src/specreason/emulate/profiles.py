"""How long things take on the emulated hardware: one table, every number with where it comes from.

A model server works in passes. One pass reads the weights once; it decodes one token for every running
sequence and computes new prompt tokens beside them. It takes as long as reading does, or as computing the
prompt tokens does if that is longer. So a score costs about one pass on a GPU, where reading dominates, and
many passes on a CPU, where computing does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from specreason.emulate.speech import Role
from specreason.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Timing:
    """One model on its hardware. Seconds; tokens a second.

    `token_s`: a pass with one sequence. `further_s`: what each further sequence adds to a pass. `prefill`:
    new prompt tokens a second. `overhead_s`: from a request's arrival to its place in the queue.
    """

    model: str
    token_s: float
    further_s: float
    prefill: float
    overhead_s: float

    def pass_s(self, sequences: int, new_tokens: int) -> float:
        """One pass over `sequences` sequences with `new_tokens` new prompt tokens among them."""
        return max(self.token_s + self.further_s * (sequences - 1), new_tokens / self.prefill)


@dataclass(frozen=True, slots=True)
class Profile:
    """A pair on its hardware.

    `beside`: how much slower a pass is while the other model works too. `block`: tokens that the prefix cache
    keeps or forgets together.
    """

    name: str
    describes: str
    base: Timing
    small: Timing
    beside: float
    block: int

    def of(self, role: Role) -> Timing:
        """The timing of one model of the pair."""
        return self.base if role == "base" else self.small


PAPER = Profile(
    name="paper",
    describes="QwQ-32B and R1-Distill-Qwen-1.5B on two 48 GB GPUs, as in arXiv 2504.07891",
    base=Timing(
        model="QwQ-32B",
        # Assumed: 55 ms. Reading 65 GB of weights at 2 x 768 GB/s (A6000 data sheet) is 43 ms of it.
        token_s=0.055,
        # Estimate: 2,000 tokens of context are 0.5 GB of KV cache (64 layers, 8 heads of 128, 16 bit), read
        # at the rate that the weights are: 65 GB in 55 ms.
        further_s=0.0005,
        # Estimate: 40% of 2 x 155 TFLOPS (data sheet, dense), at 64 GFLOP a token.
        prefill=2000,
        # Assumed, so that a score (about 125 new tokens, 63 ms) takes 80 ms.
        overhead_s=0.015,
    ),
    small=Timing(
        model="DeepSeek-R1-Distill-Qwen-1.5B",
        # Assumed: 10 ms. Reading 3 GB takes 2 ms; the rest is launching kernels and the server's own work.
        token_s=0.010,
        # Estimate: 2,000 tokens of context are 0.06 GB of KV cache (28 layers, 2 heads of 128, 16 bit).
        further_s=0.00005,
        # Estimate, as above, at 3 GFLOP a token.
        prefill=40000,
        # Assumed: a request of the small model waits for less than one of the large one.
        overhead_s=0.003,
    ),
    # Assumed: 1 would be no slow-down at all; the paper runs the models in turn and does not measure it.
    beside=1.2,
    # vLLM's default.
    block=16,
)

H100 = Profile(
    name="h100",
    describes="the same two models on one 80 GB H100; estimated from the data sheet, not measured",
    base=Timing(
        model="QwQ-32B",
        # Estimate: 65 GB of weights at 3.35 TB/s (data sheet) are 19 ms, at the efficiency of `paper` 25 ms.
        token_s=0.025,
        # Estimate: 0.5 GB of KV cache at the rate that the weights are read.
        further_s=0.0002,
        # Estimate: 40% of 989 TFLOPS (data sheet, dense), at 64 GFLOP a token.
        prefill=6000,
        # Assumed as for `paper`.
        overhead_s=0.015,
    ),
    small=Timing(
        model="DeepSeek-R1-Distill-Qwen-1.5B",
        # Assumed: reading takes 1 ms; launching kernels and the server's own work more than that.
        token_s=0.004,
        # Estimate: 0.06 GB of KV cache at the rate that the weights are read.
        further_s=0.00002,
        # Estimate, as above, at 3 GFLOP a token.
        prefill=130000,
        # Assumed as for `paper`.
        overhead_s=0.003,
    ),
    # Assumed as for `paper`.
    beside=1.2,
    # vLLM's default.
    block=16,
)

CPU = Profile(
    name="cpu",
    describes="Qwen2.5-Coder 1.5B and 0.5B, 4 bit, llama.cpp on two cores of an AMD EPYC",
    base=Timing(
        model="Qwen2.5-Coder-1.5B-Instruct",
        # Measured on that machine: 13.2 tokens/s alone.
        token_s=0.076,
        # Measured: 13.4 tokens/s in all with two requests, 13.6 with four.
        further_s=0.073,
        # Measured.
        prefill=41,
        # Assumed: a request inside one machine.
        overhead_s=0.002,
    ),
    small=Timing(
        model="Qwen2.5-Coder-0.5B-Instruct",
        # Measured on that machine: 26.3 tokens/s alone.
        token_s=0.038,
        # Assumed to grow like the base model's.
        further_s=0.037,
        # Measured.
        prefill=82,
        # Assumed.
        overhead_s=0.002,
    ),
    # Assumed: both models share the same two cores.
    beside=2.0,
    # llama.cpp keeps the longest common prefix.
    block=1,
)

PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in (PAPER, H100, CPU)}


def profile_named(name: str) -> Profile:
    """A profile of the table. Raises ConfigError if there is none of that name."""
    if name not in PROFILES:
        raise ConfigError(f"'profile' is '{name}'; there are: {', '.join(PROFILES)}")
    return PROFILES[name]
