"""A run's events in a few hundred bytes: JSON Lines, deflated with a dictionary of what is known already.

What most runs repeat (names of fields, the problem, the settings of the cell) is given to deflate as its
preset dictionary. So a trace can be read only together with its problem and its cell, which are in the same
store. The dictionary is part of the format: `DICTIONARY` may not change within a store version.
"""

import zlib
from collections.abc import Iterable

from specreason.reasoning.events import Event, from_json, to_json

# Likely texts last: deflate codes what is near more briefly.
_FIELDS = (
    '{"at":0.0,"reason":"","event":"drafter_lost"}\n{"at":0.0,"reason":"","event":"interrupted"}\n'
    '{"at":0.0,"error":"","message":"","event":"failed"}\n'
    '{"at":0.0,"reason":"repetition","steps":1,"tokens":1,"event":"thinking_ended"}\n"context""budget"'
    '"stopped""closed""answer"{"at":0.0,"text":"","event":"answer_delta"}\n'
    '{"at":0.0,"answer":null,"event":"finished"}\n"end":"stop","length","think_close"'
    '{"at":0.0,"index":0,"reason":"unscorable","tokens":1,"event":"step_rejected"}\n"reason":"score"'
    '"finish":"stop","finish":"length","role":"small","phase":"answer","phase":"base","phase":"rewrite"'
    '{"at":0.0,"index":0,"text":"","tokens":1,"seconds":0.0,"end":"boundary","event":"step_rewritten"}\n'
    '{"at":0.0,"index":0,"text":"","tokens":1,"seconds":0.0,"end":"boundary","event":"step_drafted"}\n'
    '{"at":0.0,"role":"base","phase":"score","prompt_tokens":1,"cached_tokens":1,"generated_tokens":1,'
    '"delivered_tokens":1,"seconds":0.0,"prefill_s":null,"decode_s":null,"finish":"cancelled",'
    '"event":"call_ended"}\n{"at":0.0,"index":0,"value":9.0,"method":"expected","method":"greedy",'
    '"coverage":1.0,"digits":{"0":0.0,"1":0.0,"2":0.0,"3":0.0,"4":0.0,"5":0.0,"6":0.0,"7":0.0,"8":0.0,'
    '"9":1.0},"seconds":0.0,"event":"step_scored"}\n'
    '{"at":0.0,"index":0,"author":"base","text":"","tokens":1,"seconds":0.0,"end":"boundary",'
    '"event":"step_accepted"}\n{"at":0.0,"index":0,"author":"small","text":"'
)
_WINDOW = 32_768  # deflate looks back no further


def packed(events: Iterable[Event], problem: str, settings: str) -> bytes:
    """The events as one blob; `problem` and `settings` are needed again to read it."""
    engine = zlib.compressobj(level=9, wbits=-15, zdict=_dictionary(problem, settings))
    text = "\n".join(to_json(event) for event in events)
    return engine.compress(text.encode()) + engine.flush()


def unpacked(blob: bytes, problem: str, settings: str) -> list[Event]:
    """The events that `packed` made a blob of. Raises ValueError or zlib.error if it is damaged."""
    engine = zlib.decompressobj(wbits=-15, zdict=_dictionary(problem, settings))
    text = engine.decompress(blob) + engine.flush()
    if not engine.eof:
        raise ValueError("the events are cut off")
    return [from_json(line) for line in text.splitlines() if line]


def _dictionary(problem: str, settings: str) -> bytes:
    return f"{problem}\n{settings}\n{_FIELDS}".encode()[-_WINDOW:]
