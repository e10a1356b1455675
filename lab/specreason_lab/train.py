"""Train one model of the pair: `specreason lab train small`.

Resumable: the checkpoint holds all that the next step needs, and batches depend only on the seed and on
their number.
"""

import json
import time
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from specreason.eval.calibration.judging_statistics import ScoredStep, auc
from specreason_lab.batches import Batch, Candidates, Maker
from specreason_lab.measure import accuracy, result_accuracy, verdicts
from specreason_lab.model import Llama, Shape, deepened, widened
from specreason_lab.muon import Muon
from specreason_lab.problems import DRILLED, LENGTHS, MIX, problems
from specreason_lab.tokenizer import encode

_SLIPS_WEIGH = 4.0  # they are rare


@dataclass(frozen=True, slots=True)
class Plan:
    """A model and how it is trained; fractions are of all tokens.

    At `deepen` the model gets its last depth; from `judge` on it learns verdicts in chains; the learning rate
    falls from `decay` to the end. All else waits for looking values up: that weighs `look_up` times as much,
    and up to `settled` nearly all rows are chains. From there on `drill` is the share of rows that are loose
    steps, in which calculations are learned; it falls to `last_drill` at `drilled`. `mix`: how often the
    families come; `operations`: those of loose steps.
    `until`: tokens after which another plan goes on, if this one is not to come to its end.
    `verdict`: weight of the judge's loss; `alarm`: of that of noticing wrong tokens (`noticed`).
    """

    name: str
    shape: Shape
    tokens: int
    batch: int
    muon: float
    adam: float
    seed: int = 1
    mix: tuple[int, int, int] = MIX
    operations: tuple[str, ...] = DRILLED
    shallow: int | None = None
    deepen: float = 0.5
    judge: float | None = None
    decay: float = 0.5
    look_up: float = 2.0
    settled: float = 0.0
    drill: float = 0.0
    last_drill: float = 0.1
    drilled: float = 1.0
    verdict: float = 1.0
    alarm: float = 0.0
    until: int | None = None


@dataclass(slots=True)
class State:
    """What changes during training. `number` counts groups of batches."""

    model: Llama
    alarm: nn.Linear
    optimizers: tuple[torch.optim.Optimizer, ...]
    number: int = 0
    updates: int = 0
    tokens: int = 0
    seconds: float = 0.0


def train(
    plan: Plan,
    folder: Path,
    tokenizer: Tokenizer,
    samples: Candidates | None = None,
    *,
    start: Llama | None = None,
    save_every: float = 120.0,
    measure_every: float = 300.0,
    measures: bool = True,
) -> Llama:
    """Train up to the plan's end, from the checkpoint in `folder` if any; the model as it then is.

    `start`: a narrower model that already reasons, out of which this one grows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(asdict(plan), indent=1))
    checkpoint, log = folder / "checkpoint.pt", folder / "log.jsonl"
    state = restored(plan, checkpoint) if checkpoint.exists() else fresh(plan, start)
    saved = measured = time.monotonic()
    end = plan.until or plan.tokens
    while state.tokens < end:
        if plan.shallow and state.tokens / plan.tokens >= plan.deepen:
            deepen(plan, state, folder)
        maker = maker_for(plan, state, tokenizer, samples)
        facts: dict[str, object] = {}
        for batch in maker.batches(LENGTHS, state.number):
            started = time.monotonic()
            facts |= update(plan, state, batch)
            state.seconds += time.monotonic() - started
        state.number += 1
        now = time.monotonic()
        if now - saved > save_every or state.tokens >= end:
            saved = now
            save(state, checkpoint)
            if measures and (now - measured > measure_every or state.tokens >= end):
                measured = now
                facts |= measurements(state.model, maker, judges=plan.judge is not None)
            progress = {"tokens": state.tokens, "updates": state.updates, "seconds": round(state.seconds)}
            with log.open("a") as lines:
                lines.write(json.dumps(progress | facts) + "\n")
            print(progress | facts, flush=True)
    return state.model


def deepen(plan: Plan, state: State, folder: Path) -> None:
    """Give the model its last depth, if it has not got that yet."""
    if len(state.model.blocks) < plan.shape.layers:
        save(state, folder / "shallow.pt")
        state.model = deepened(state.model, plan.shape.layers)
        state.optimizers = optimizers(plan, state.model, state.alarm)


def maker_for(plan: Plan, state: State, tokenizer: Tokenizer, samples: Candidates | None) -> Maker:
    """What makes the batches at this point of the plan."""
    done = state.tokens / plan.tokens
    return Maker(
        tokenizer,
        plan.batch,
        plan.seed,
        judged=plan.judge is not None and done >= plan.judge,
        samples=samples,
        drill=drilled(plan, done),
        mix=plan.mix,
        operations=plan.operations,
    )


def update(plan: Plan, state: State, batch: Batch) -> dict[str, float]:
    """One step of the optimizers; the losses (nats a token) of reasoning and of judging."""
    done = state.tokens / plan.tokens
    rate = min(1.0, (state.updates + 1) / 50, max(0.02, (1 - done) / (1 - plan.decay)))
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["full"] * rate
    state.model.train()
    wanted = batch.targets >= 0
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_pays()):
        states, early = state.model.states(batch.ids, batch.positions, batch.mask)
        logits = state.model.logits(states[wanted])
    losses = F.cross_entropy(logits.float(), batch.targets[wanted], reduction="none")
    judged = batch.judged[wanted]
    weights = torch.where(batch.looked_up[wanted], plan.look_up, 1.0)[~judged]
    written = (losses[~judged] * weights).sum() / weights.sum().clamp(min=1.0)
    verdict = losses[judged].mean() if judged.any() else torch.zeros(())
    noticing = noticed(state.alarm, early, batch) if plan.alarm else torch.zeros(())
    (written + plan.verdict * verdict + plan.alarm * noticing).backward()
    for optimizer in state.optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    looked_up = losses[batch.looked_up[wanted]]
    state.updates += 1
    state.tokens += int((batch.mask.diagonal(dim1=-2, dim2=-1)).sum())
    return {
        "looking_up": round(looked_up.sum().item() / max(1, len(looked_up)), 4),
        "loss": round(written.item(), 4),
        "judge": round(verdict.item(), 4),
        "alarm": round(noticing.item(), 4),
    }


def noticed(alarm: nn.Linear, early: Tensor, batch: Batch) -> Tensor:
    """Loss of saying at each token whether it is right, where a step's tokens before it are.

    A verdict on a whole step says little about how to come by it; this says at every token what the judge
    has to find there, in blocks after which it can still look. `alarm` is used in training only.
    """
    known = batch.slipped >= 0
    doubts = alarm(early[known]).float().squeeze(-1)
    weight = torch.tensor(_SLIPS_WEIGH)
    return F.binary_cross_entropy_with_logits(doubts, batch.slipped[known].float(), pos_weight=weight)


@cache
def bfloat16_pays() -> bool:
    """Whether this processor multiplies matrices faster in bfloat16 (with AVX512-BF16: 3 times)."""

    def seconds(dtype: torch.dtype) -> float:
        a, b = torch.ones(1024, 320, dtype=dtype), torch.ones(320, 864, dtype=dtype)
        a @ b
        started = time.perf_counter()
        for _ in range(5):
            a @ b
        return time.perf_counter() - started

    return seconds(torch.bfloat16) < 0.8 * seconds(torch.float32)


def drilled(plan: Plan, done: float) -> float:
    """The share of drill rows at this point."""
    if done < plan.settled:
        return plan.last_drill
    fallen = min(1.0, (done - plan.settled) / (plan.drilled - plan.settled))
    return plan.drill + (plan.last_drill - plan.drill) * fallen


def optimizers(plan: Plan, model: Llama, alarm: nn.Linear) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the blocks' matrices, Adam for all else. `full` is the rate before warm-up and decay."""
    matrices = model.matrices()
    inside = set(map(id, matrices))
    others = [p for p in (*model.parameters(), *alarm.parameters()) if id(p) not in inside]
    dtype = torch.bfloat16 if bfloat16_pays() else torch.float32
    made = (Muon(matrices, plan.muon, dtype=dtype), torch.optim.Adam(others, plan.adam, betas=(0.9, 0.95)))
    for optimizer in made:
        for group in optimizer.param_groups:
            group["full"] = group["lr"]
    return made


def fresh(plan: Plan, start: Llama | None = None) -> State:
    """The start of a run."""
    torch.manual_seed(plan.seed)
    layers = plan.shallow or plan.shape.layers
    if start is None:
        model = Llama(replace(plan.shape, layers=layers))
    else:
        model = deepened(widened(start, replace(plan.shape, layers=start.shape.layers)), layers)
    alarm = nn.Linear(plan.shape.width, 1)
    return State(model, alarm, optimizers(plan, model, alarm))


def restored(plan: Plan, path: Path) -> State:
    """A run where it was saved."""
    kept = torch.load(path, weights_only=True)
    model = Llama(Shape(**kept["shape"]))
    model.load_state_dict(kept["model"])
    alarm = nn.Linear(model.shape.width, 1)
    alarm.load_state_dict(kept["alarm"])
    progress = {name: kept[name] for name in ("number", "updates", "tokens", "seconds")}
    state = State(model, alarm, optimizers(plan, model, alarm), **progress)
    for optimizer, old in zip(state.optimizers, kept["optimizers"], strict=True):
        optimizer.load_state_dict(old)
    for optimizer, new in zip(state.optimizers, optimizers(plan, model, alarm), strict=True):
        for group, planned in zip(optimizer.param_groups, new.param_groups, strict=True):
            group["full"] = planned["full"]  # what the plan says now
    return state


def trained(plan: Plan, folder: Path) -> Llama:
    """The model as it stands in `folder`, whether or not its training has come to its end."""
    return restored(plan, folder / "checkpoint.pt").model


def save(state: State, path: Path) -> None:
    """Write a checkpoint; whoever reads it finds the old one or the new one, never half."""
    kept = {
        "shape": asdict(state.model.shape),
        "model": state.model.state_dict(),
        "alarm": state.alarm.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in state.optimizers],
        "number": state.number,
        "updates": state.updates,
        "tokens": state.tokens,
        "seconds": state.seconds,
    }
    torch.save(kept, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def measurements(model: Llama, maker: Maker, *, judges: bool) -> dict[str, object]:
    """How the model does on problems of the dev split, and as a judge on batches that it has not seen."""
    sample = list(islice(problems(1, "dev"), 100))
    tokenizer = maker.tokenizer
    found: dict[str, object] = {
        "solved": accuracy(model, tokenizer, sample),
        "results": result_accuracy(model, tokenizer, sample),
    }
    if judges:
        unseen = replace(maker, seed=-1)
        nine = encode(tokenizer, "9")[0]
        for kind, drill in (("loose", 1.0), ("chains", 0.0)):
            if kind == "loose" or maker.judged:
                batches = replace(unseen, drill=drill).batches(LENGTHS, 0)
                judged = [ScoredStep("", sure, good) for sure, good in verdicts(model, batches, nine)]
                area = auc(judged)
                found[f"judge_{kind}"] = area and area.value
    return found
