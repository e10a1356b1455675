"""One emulated model: a prompt goes in, tokens come out at the times of its hardware."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from specreason.emulate.hardware import Hardware
from specreason.emulate.hardware import Sequence as Running
from specreason.emulate.reading import Reading, read
from specreason.emulate.script import Script
from specreason.emulate.speech import Role, distribution, said
from specreason.emulate.tokens import END_ID, decode, spell

CONTEXT = 32768  # tokens


@dataclass(frozen=True, slots=True)
class Token:
    """One token of one choice. `finish` comes with the last; `chances`: log-probabilities by token id."""

    choice: int
    id: int
    text: str
    chances: Mapping[int, float]
    finish: str | None = None


@dataclass(slots=True)
class Account:
    """What a request has cost so far, in tokens. `cached`: of the prompts."""

    prompt: int = 0
    cached: int = 0
    generated: int = 0


@dataclass(slots=True)
class _Choice:
    """A choice being written: what it will say, and how far it is."""

    prompt: Sequence[int]
    ids: Sequence[int]
    reading: Reading
    at: int = 0
    text: str = ""
    ended: bool = False


class Model:
    """The model of one role. `script` is the same for both models of a pair."""

    def __init__(self, role: Role, script: Script, hardware: Hardware) -> None:
        self.role: Role = role
        self.script = script
        self.hardware = hardware
        self.worker = hardware.workers[role]
        self.name = f"emulation/{self.worker.timing.model}"

    async def write(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        choices: int,
        seed: int | None,
        max_tokens: int,
        stop: Sequence[str],
        account: Account,
    ) -> AsyncGenerator[Token, None]:
        """The tokens of `choices` replies to each prompt, as the passes end that decode them.

        Closing the generator takes what still runs off the hardware. Raises ValueError for numbers that are
        no tokens.
        """
        arrived = asyncio.get_running_loop().time()
        written = self._choices(prompts, choices, seed, max_tokens)
        ready = await self.worker.admitted(arrived)
        done: asyncio.Queue[int] = asyncio.Queue()
        running: list[Running] = []
        try:
            for number, choice in enumerate(written):
                to_compute, cached = self._taken_in(choice.prompt)
                if number % choices == 0:
                    account.prompt += len(choice.prompt)
                    account.cached += cached
                running.append(Running(to_compute, len(choice.ids), partial(done.put_nowait, number)))
                self.worker.join(running[-1], ready)
            while not all(choice.ended for choice in written):
                number = await done.get()
                choice = written[number]
                if choice.ended:
                    continue  # a stop text came before tokens that were decoded already
                token = self._token(number, choice, stop)
                account.generated += 1
                if choice.ended:
                    self.worker.leave(running[number])
                yield token
        finally:
            for sequence in running:
                self.worker.leave(sequence)
            for choice in written:
                self.worker.cache.keep([*choice.prompt, *choice.ids[: choice.at]])

    def _choices(
        self, prompts: Sequence[Sequence[int]], choices: int, seed: int | None, max_tokens: int
    ) -> list[_Choice]:
        """The replies to each prompt, one after the other."""
        written: list[_Choice] = []
        for prompt in prompts:
            reading = read(decode(prompt))
            for choice in range(choices):
                ids = said(self.script, self.role, reading, self.script.sample(choice, seed))
                written.append(_Choice(prompt, list(islice(ids, max_tokens)), reading))
        return written

    def _taken_in(self, prompt: Sequence[int]) -> tuple[int, int]:
        """Prompt tokens to compute, and cached ones. Whoever comes later shares what is computed here."""
        cached = self.worker.cache.look_up(prompt)
        self.worker.cache.keep(prompt)
        return len(prompt) - cached, cached

    def _token(self, number: int, choice: _Choice, stop: Sequence[str]) -> Token:
        token = choice.ids[choice.at]
        chances = distribution(self.script, choice.reading, token, choice.at == 0)
        choice.at += 1
        last = choice.at == len(choice.ids)
        text = "" if token == END_ID else spell(token)
        before = len(choice.text)
        choice.text += text
        at = min((i for s in stop if (i := choice.text.find(s)) >= 0), default=None)
        choice.ended = last or at is not None
        if at is not None:
            return Token(number, token, choice.text[before : max(at, before)], chances, "stop")
        finish = ("stop" if token == END_ID else "length") if last else None
        return Token(number, token, text, chances, finish)
