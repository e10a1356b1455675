"""Which cache slot of a llama-server holds which conversation.

A slot is one conversation's KV cache. A request that names a slot waits until that slot is free, and whatever
the slot held before is gone, so:

- a conversation keeps its slot until it ends;
- a slot with a request under way is never given to another conversation;
- a new conversation takes the slot of an ended one: that of the conversation that it continues (the next turn
  of a chat), else the one unused for longest;
- where there are more conversations than slots, the slot of the one that has been idle for longest is taken;
  where all are at work, no slot is named, and the server queues the request.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from specreason.engines.protocol import Prompt


@dataclass(slots=True)
class _Slot:
    """`session`: whose cache it is, "" before the first; `ended`: that conversation is over.

    `requests`: under way; `used`: when it was last given out, as a running number; `prompt`: the last one.
    """

    number: int
    session: str = ""
    ended: bool = True
    requests: int = 0
    used: int = 0
    prompt: Prompt = field(default_factory=Prompt)


class Slots:
    """The slots of one server. `count` is 0 where requests cannot name a slot."""

    def __init__(self, count: int) -> None:
        self._slots = [_Slot(number) for number in range(count)]
        self._given = 0

    @contextmanager
    def held(self, session: str, prompt: Prompt) -> Generator[int | None]:
        """The number of the slot for a request of `session`, held while it runs; None to name none."""
        slot = self._slot(session, prompt) if session else None
        if slot is None:
            yield None
            return
        self._given += 1
        slot.session, slot.ended, slot.used, slot.prompt = session, False, self._given, prompt
        slot.requests += 1
        try:
            yield slot.number
        finally:
            slot.requests -= 1

    def end(self, session: str) -> None:
        """`session` and its branches (`session/1`, ...) are over: their slots may be given away."""
        for slot in self._slots:
            if slot.session == session or slot.session.startswith(f"{session}/"):
                slot.ended = True

    def _slot(self, session: str, prompt: Prompt) -> _Slot | None:
        own = next((slot for slot in self._slots if slot.session == session), None)
        if own is not None:
            return own
        idle = [slot for slot in self._slots if not slot.requests]
        ended = [slot for slot in idle if slot.ended]
        continued = next((slot for slot in ended if _continues(prompt, slot.prompt)), None)
        return continued or min(ended or idle, key=lambda slot: slot.used, default=None)


def _continues(prompt: Prompt, earlier: Prompt) -> bool:
    """Whether `prompt` begins with more than half of `earlier`."""
    new, old = prompt.text, earlier.text
    half = len(old) // 2 + 1
    return bool(old) and new[:half] == old[:half]
