"""The pair's plans, and the pipeline from nothing to files that engines load."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from specreason.models import cache
from specreason_lab.agree import agreement
from specreason_lab.export import export_gguf, export_hub_folder, read_gguf
from specreason_lab.model import Llama, Shape
from specreason_lab.problems import ALL_DRILLED, MIX, SIMPLE_SUMS, SUMS
from specreason_lab.samples import read_samples, write_samples
from specreason_lab.tokenizer import make_tokenizer
from specreason_lab.train import Plan, train, trained

VOCABULARY = 1000  # all merges that the texts of the lab have to offer, and marks
SAMPLED_PROBLEMS = 6_000
NAMES = {"small": "specreason-pocket-small", "base": "specreason-pocket-base"}

SMALL = Plan(
    "small",
    Shape(layers=2, width=128, hidden=352, vocabulary=VOCABULARY, tied=True),
    tokens=8_000_000,
    batch=1536,
    muon=0.01,
    adam=2e-3,
    decay=0.6,
    settled=0.2,
    drill=0.7,
    drilled=0.6,
    mix=(6, 3, 1),  # fewer stories than it will be asked: what it is to lack
)
# What the base model grows out of: a small model can be taught ten times as fast.
SEEDLING = replace(
    SMALL,
    name="seedling",
    shape=replace(SMALL.shape, width=192, hidden=512),
    tokens=20_000_000,
    settled=0.1,
    last_drill=0.4,
    drilled=0.7,
    operations=ALL_DRILLED,
    mix=MIX,
)
BASE = Plan(
    "base",
    Shape(layers=8, width=320, hidden=864, vocabulary=VOCABULARY, tied=True),
    tokens=4_000_000,
    batch=2304,
    muon=0.01,
    adam=2e-3,
    shallow=4,
    deepen=0.75,
    judge=0.02,
    decay=0.15,
    operations=ALL_DRILLED,
    drill=0.3,
    drilled=0.7,
    alarm=1.0,
)
# Each plan goes on where the one before it ends. The seedling's four, the first cut short, are how it came to
# be: in one go it takes one label for another (LOG.md).
PLANS: dict[str, tuple[Plan, ...]] = {
    "small": (SMALL,),
    "seedling": (
        replace(
            SEEDLING, tokens=8_000_000, until=5_384_550, settled=0.25, last_drill=0.2, operations=SIMPLE_SUMS
        ),
        replace(SEEDLING, tokens=12_000_000, settled=0.17, last_drill=0.2, operations=SUMS),
        replace(SEEDLING, tokens=14_000_000, settled=0.17, last_drill=0.2),
        SEEDLING,
    ),
    "base": (BASE,),
}


def run(which: str, folder: Path, tell: Callable[[str], object] = print) -> Llama:
    """Train one model in `folder`, or go on with it. The base model learns to judge the small one's steps."""
    tokenizer = make_tokenizer(folder / "tokenizer.json", VOCABULARY)
    if which != "base":
        return _course(which, folder, tokenizer)
    small, seedling = (_course(name, folder, tokenizer) for name in ("small", "seedling"))
    path = folder / "samples.jsonl"
    tell("sampling the small model's steps")
    write_samples(small, tokenizer, path, SAMPLED_PROBLEMS)
    return train(BASE, folder / which, tokenizer, read_samples(path), start=seedling)


def _course(name: str, folder: Path, tokenizer: Tokenizer) -> Llama:
    """Train by each of a model's plans in turn."""
    return [train(plan, folder / name, tokenizer) for plan in PLANS[name]][-1]


def export(which: str, folder: Path, to: Path, tell: Callable[[str], object] = print) -> Path:
    """Write the trained model as a GGUF file and a hub folder under `to`, and compare; the file's path."""
    tokenizer = make_tokenizer(folder / "tokenizer.json", VOCABULARY)
    model = trained(PLANS[which][-1], folder / which)
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
