"""The pair's two plans, and the pipeline from nothing to files that engines load."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from specreason.models import cache
from specreason_lab.agree import agreement
from specreason_lab.export import export_gguf, export_hub_folder, read_gguf
from specreason_lab.model import Llama, Shape
from specreason_lab.samples import read_samples, write_samples
from specreason_lab.tokenizer import make_tokenizer
from specreason_lab.train import Plan, train, trained

VOCABULARY = 1000  # all merges that the texts of the lab have to offer, and marks
SAMPLED_PROBLEMS = 6_000
NAMES = {"small": "specreason-pocket-small", "base": "specreason-pocket-base"}

# Put together from runs of parts of them, in worlds that changed; never run from nothing (LOG.md).
PLANS = {
    "small": Plan(
        "small",
        Shape(layers=2, width=128, hidden=352, vocabulary=VOCABULARY, tied=True),
        tokens=24_000_000,
        batch=1536,
        muon=0.01,
        adam=2e-3,
        curriculum=0.6,
        drill=0.9,  # calculations are learned fastest in rows that are nothing else
        drilled=0.5,
    ),
    "base": Plan(
        "base",
        Shape(layers=8, width=320, hidden=864, vocabulary=VOCABULARY, tied=True),
        tokens=8_000_000,
        batch=2304,
        muon=0.01,
        adam=2e-3,
        shallow=4,
        deepen=0.75,
        judge=0.02,
        decay=0.3,
        drill=0.25,
        alarm=1.0,
    ),
}


def run(which: str, folder: Path, tell: Callable[[str], object] = print) -> Llama:
    """Train one model in `folder`, or go on with it. The base model grows out of the small one."""
    tokenizer = make_tokenizer(folder / "tokenizer.json", VOCABULARY)
    if which == "small":
        return train(PLANS[which], folder / which, tokenizer)
    small = train(PLANS["small"], folder / "small", tokenizer)
    path = folder / "samples.jsonl"
    tell("sampling the small model's steps")
    write_samples(small, tokenizer, path, SAMPLED_PROBLEMS)
    return train(PLANS[which], folder / which, tokenizer, read_samples(path), start=small)


def export(which: str, folder: Path, to: Path, tell: Callable[[str], object] = print) -> Path:
    """Write the trained model as a GGUF file and a hub folder under `to`, and compare; the file's path."""
    tokenizer = make_tokenizer(folder / "tokenizer.json", VOCABULARY)
    model = trained(PLANS[which], folder / which)
    file = to / f"{NAMES[which]}-f32.gguf"
    export_gguf(model, tokenizer, file, NAMES[which])
    export_hub_folder(model, tokenizer, to / NAMES[which])
    same = asyncio.run(agreement(model, tokenizer, file))
    tell(f"{file}: {sum(same)} of {len(same)} greedy continuations are those of PyTorch")
    return file


def unpack(which: str, to: Path) -> Path:
    """Write the shipped weights as a hub folder under `to`; its path."""
    tokenizer = make_tokenizer(to / "tokenizer.json", VOCABULARY)
    export_hub_folder(read_gguf(cache.require(NAMES[which])), tokenizer, to / NAMES[which])
    return to / NAMES[which]
