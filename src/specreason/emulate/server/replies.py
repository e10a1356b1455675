"""The shapes of the completions API, as vLLM sends them: chunks of a stream and whole replies."""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from specreason.emulate.server.model import Account, Token
from specreason.emulate.server.wire import Shared
from specreason.emulate.speech import logprob_of
from specreason.emulate.tokens import spell

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """How one request is answered. `likeliest`: log-probabilities to give, None for none."""

    model: str
    chat: bool
    likeliest: int | None
    request: Shared
    fingerprint: str  # says which emulation answered
    id: str = field(default_factory=lambda: f"emulated-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def chunk(self, token: Token, prompt: Sequence[int] | None) -> Json:
        """One token of a stream; `prompt` with a choice's first, where token ids are asked for."""
        choice: Json = {
            "index": token.choice,
            "finish_reason": token.finish,
            "logprobs": self._logprobs([token]),
        }
        if self.chat:
            # vLLM says who speaks in a choice's first chunk.
            role = {"role": "assistant"} if prompt is not None else {}
            choice["delta"] = {**role, "content": token.text}
        else:
            choice["text"] = token.text
        if self.request.return_token_ids:
            choice["token_ids"] = [token.id]
            if prompt is not None:
                choice["prompt_token_ids"] = prompt
        return self._envelope([choice], chunk=True)

    def closing(self, account: Account) -> Json:
        """The last chunk of a stream that tells its usage."""
        return self._envelope([], chunk=True) | {"usage": usage(account)}

    def whole(
        self, choices: Mapping[int, Sequence[Token]], prompts: Sequence[Sequence[int]], account: Account
    ) -> Json:
        """A reply that is not streamed."""
        shaped: list[Json] = []
        for index, tokens in sorted(choices.items()):
            text = "".join(token.text for token in tokens)
            choice: Json = {
                "index": index,
                "finish_reason": tokens[-1].finish,
                "logprobs": self._logprobs(tokens),
                **({"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}),
            }
            if self.request.return_token_ids:
                choice["token_ids"] = [token.id for token in tokens]
                choice["prompt_token_ids"] = prompts[index // self.request.n]
            shaped.append(choice)
        return self._envelope(shaped, chunk=False) | {"usage": usage(account)}

    def _envelope(self, choices: list[Json], *, chunk: bool) -> Json:
        kind = "text_completion"
        if self.chat:
            kind = "chat.completion.chunk" if chunk else "chat.completion"
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        }

    def _logprobs(self, tokens: Sequence[Token]) -> Json | None:
        if self.likeliest is None:
            return None
        tops = [self._reported(token) for token in tokens]
        if self.chat:
            return {
                "content": [
                    {
                        **_named(self._name(token.id), token.chances, token.id),
                        "top_logprobs": [_named(self._name(i), token.chances, i) for i in top],
                    }
                    for token, top in zip(tokens, tops, strict=True)
                ]
            }
        return {
            "tokens": [self._name(token.id) for token in tokens],
            "token_logprobs": [logprob_of(token.chances, token.id) for token in tokens],
            "top_logprobs": [
                {self._name(i): logprob_of(token.chances, i) for i in top}
                for token, top in zip(tokens, tops, strict=True)
            ],
            "text_offset": [0 for _ in tokens],
        }

    def _reported(self, token: Token) -> Sequence[int]:
        """Whose log-probabilities are given: the one taken, and those asked for or else the likeliest."""
        asked = self.request.logprob_token_ids or list(token.chances)[: self.likeliest]
        return list(dict.fromkeys([token.id, *asked]))

    def _name(self, token: int) -> str:
        return f"token_id:{token}" if self.request.return_tokens_as_token_ids else spell(token)


def usage(account: Account) -> Json:
    """What a request cost, with the share of its prompt that was cached."""
    return {
        "prompt_tokens": account.prompt,
        "completion_tokens": account.generated,
        "total_tokens": account.prompt + account.generated,
        "prompt_tokens_details": {"cached_tokens": account.cached},
    }


def failure(status: int, message: str) -> Json:
    """An error as these servers word it."""
    return {"error": {"message": message, "type": "BadRequestError", "param": None, "code": status}}


def _named(name: str, chances: Mapping[int, float], token: int) -> Json:
    return {"token": name, "logprob": logprob_of(chances, token), "bytes": list(spell(token).encode())}
