"""A decoder of the llama architecture, as small as it can be said: what llama.cpp and vLLM load as it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATE = 1  # blocks that are left to the judge when a wrong token has been noticed
_FAINT = 2e-3  # new places of a tied token: not nothing, or nothing could be learned there


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model. `width` is split over heads of size `head`; `hidden` is the feed-forward's.

    `tied`: a token is read and written as the same vector, so that "what was expected here" and "what stands
    here" can be compared as they are.
    """

    layers: int
    width: int
    hidden: int
    vocabulary: int
    head: int = 32
    context: int = 1024
    rope_base: float = 10_000.0
    tied: bool = False

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.width // self.head


class Attention(nn.Module):
    """Multi-head attention with rotary positions."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q, self.k, self.v, self.out = (nn.Linear(shape.width, shape.width, bias=False) for _ in range(4))

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor, past: "Past | None") -> Tensor:
        """`x` is [batch, time, width]; `mask` is [batch, 1, time, seen] (true: may look)."""
        b, t, d = x.shape
        q, k, v = (
            part(x).view(b, t, self.heads, d // self.heads).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        q, k = rotated(q, turn), rotated(k, turn)
        if past is not None:
            k, v = past.joined(k, v)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(seen.transpose(1, 2).reshape(b, t, d))


class Block(nn.Module):
    """Attention and a gated feed-forward, each on a normalised residual stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=1e-5)
        self.attention = Attention(shape)
        self.feed_norm = nn.RMSNorm(shape.width, eps=1e-5)
        self.gate, self.up = (nn.Linear(shape.width, shape.hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor, past: "Past | None") -> Tensor:
        """See `Attention`."""
        x = x + self.attention(self.attention_norm(x), turn, mask, past)
        fed = self.feed_norm(x)
        return x + self.down(F.silu(self.gate(fed)) * self.up(fed))


class Llama(nn.Module):
    """Token ids in, logits out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=1e-5)
        self.head = None if shape.tied else nn.Linear(shape.width, shape.vocabulary, bias=False)
        nn.init.normal_(self.embed.weight, std=0.02)
        for matrix in self.matrices():
            nn.init.normal_(matrix, std=matrix.shape[1] ** -0.5)
        for block in self.blocks:
            silence(block)

    def matrices(self) -> list[nn.Parameter]:
        """The weights inside the blocks: what Muon trains."""
        return [p for block in self.blocks for p in block.parameters() if p.ndim == 2]

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        mask: Tensor,
        pasts: "Sequence[Past | None] | None" = None,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """Logits [batch, time, vocabulary], or [n, vocabulary] of the places where `wanted` is true."""
        states, _ = self.states(ids, positions, mask, pasts)
        return self.logits(states if wanted is None else states[wanted])

    def logits(self, states: Tensor) -> Tensor:
        """What `states` says of the next token."""
        return F.linear(states, self.embed.weight if self.head is None else self.head.weight)

    def states(
        self, ids: Tensor, positions: Tensor, mask: Tensor, pasts: "Sequence[Past | None] | None" = None
    ) -> tuple[Tensor, Tensor]:
        """What the last block leaves, and what the one `LATE` before it does, normalised.

        Both are [batch, time, width].
        """
        turn = angles(self.shape, positions)
        x = early = self.embed(ids)
        late = len(self.blocks) - LATE
        for number, (block, past) in enumerate(
            zip(self.blocks, pasts or [None] * len(self.blocks), strict=True), 1
        ):
            x = block(x, turn, mask, past)
            if number == late:
                early = x
        return self.norm(x), F.rms_norm(early, (self.shape.width,))


def silence(block: nn.Module) -> None:
    """Make a block pass its input on: how training starts, and how a trained model is deepened."""
    nn.init.zeros_(block.attention.out.weight)
    nn.init.zeros_(block.down.weight)


def angles(shape: Shape, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine [batch, 1, time, head] of the rotary positions."""
    half = shape.head // 2
    rates = shape.rope_base ** (-torch.arange(half, device=positions.device) / half)
    turned = (positions[..., None].float() * rates)[:, None]
    turned = torch.cat((turned, turned), dim=-1)
    return turned.cos(), turned.sin()


def rotated(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding, halves as in Hugging Face's llama."""
    cos, sin = turn
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


class Past:
    """Keys and values of what a layer has seen; every row writes at its own place."""

    def __init__(self, rows: int, length: int, shape: Shape) -> None:
        self.keys = torch.zeros(rows, shape.heads, length, shape.head)
        self.values = torch.zeros(rows, shape.heads, length, shape.head)
        self.at = torch.zeros(rows, 1, dtype=torch.long)  # where the next tokens go, [rows, time]

    def joined(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values; all that is stored."""
        rows = torch.arange(k.shape[0])[:, None]
        self.keys[rows, :, self.at] = k.transpose(1, 2)
        self.values[rows, :, self.at] = v.transpose(1, 2)
        return self.keys, self.values


@torch.inference_mode()
def continued(
    model: Llama,
    prompts: Sequence[Sequence[int]],
    stop: frozenset[int],
    most: int,
    temperature: float,
    seed: int,
) -> list[list[int]]:
    """What the model writes after each prompt, up to a token of `stop` (kept) or `most` tokens."""
    rows, longest = len(prompts), max(map(len, prompts))
    pasts = [Past(rows, longest + most, model.shape) for _ in model.blocks]
    lengths = torch.tensor([len(p) for p in prompts])
    ids = torch.zeros(rows, longest, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt)
    positions = torch.arange(longest).repeat(rows, 1)
    places = torch.arange(longest + most)
    drawn = torch.Generator().manual_seed(seed)
    written: list[list[int]] = [[] for _ in prompts]
    going = torch.ones(rows, dtype=torch.bool)
    last = lengths - 1
    for step in range(most):
        for past in pasts:
            past.at = positions
        mask = (places[None, None] <= positions[:, :, None])[:, None]
        logits = model(ids, positions, mask, pasts)
        scores = logits[torch.arange(rows), last] if step == 0 else logits[:, 0]
        if temperature > 0:
            token = torch.multinomial((scores / temperature).softmax(-1), 1, generator=drawn)[:, 0]
        else:
            token = scores.argmax(-1)
        for row in going.nonzero()[:, 0].tolist():
            written[row].append(int(token[row]))
            going[row] = int(token[row]) not in stop
        if not going.any():
            break
        ids, positions = token[:, None], (lengths + step)[:, None]
    return written


def deepened(model: Llama, layers: int) -> Llama:
    """The same function with more blocks: silent copies of its last one, on top.

    Depth is then nearly free in training: most of it is done while the model is shallow. On top, since a
    judge compares what stands in a step with what the model would have written, and so comes after it.
    """
    shape = replace(model.shape, layers=layers)
    deep = Llama(shape)
    deep.load_state_dict(model.state_dict(), strict=False)
    for block in deep.blocks[len(model.blocks) :]:
        block.load_state_dict(model.blocks[-1].state_dict())
        silence(block)
    return deep


@torch.no_grad()
def widened(model: Llama, shape: Shape) -> Llama:
    """The same function in a wider model of as many layers (Net2Net, Chen et al. 2015, arXiv 1511.05641).

    The old model is a corner of each matrix. What is new writes nothing yet, and reads whatever it likes: so
    it can be trained. `shape.layers` must be that of `model`.
    """
    wide, old = Llama(shape), model.shape
    width, narrow = shape.width, old.width

    def fill(new: Tensor, had: Tensor, *, silent: bool) -> None:
        rows, columns = had.shape
        new[:rows, columns:] = 0.0
        if silent:
            new[rows:] = 0.0
        new[:rows, :columns] = had

    fill(wide.embed.weight, model.embed.weight, silent=True)
    if wide.head is None or model.head is None:
        wide.embed.weight[:, narrow:] = _FAINT * torch.randn(shape.vocabulary, width - narrow)
    else:
        wide.head.weight[:, :narrow] = model.head.weight
    for block, small in zip(wide.blocks, model.blocks, strict=True):
        for part in ("q", "k", "v", "out"):
            fill(
                getattr(block.attention, part).weight,
                getattr(small.attention, part).weight,
                silent=part == "out",
            )
        for part in ("gate", "up", "down"):
            fill(getattr(block, part).weight, getattr(small, part).weight, silent=part == "down")
    norms = [(wide.norm, model.norm)]
    for block, small in zip(wide.blocks, model.blocks, strict=True):
        norms += [(block.attention_norm, small.attention_norm), (block.feed_norm, small.feed_norm)]
    for norm, small in norms:  # the mean square is now taken over dimensions that are still zero
        norm.weight[:] = (narrow / width) ** 0.5
        norm.weight[:narrow] *= small.weight
    return wide
