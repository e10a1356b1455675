"""POST /v1/responses: OpenAI's Responses API, in front of the same requests as chat completions.

Text and tool calls in, reasoning, text and tool calls out. Nothing is stored, so a conversation is sent as a
whole each time. Thinking is sent as `reasoning_text`, or as the summary where one is asked for.
"""

import json
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from specreason.server.account import usage
from specreason.server.chat import body_of, solved
from specreason.server.chat_reply import report_of
from specreason.server.choices import Solving
from specreason.server.errors import response_to
from specreason.server.openapi import RESPONSES
from specreason.server.reply_parts import AnswerText, ReplyPart, Thinking, ToolCalls, reply_parts
from specreason.server.responses_wire import ResponsesRequest, as_chat
from specreason.server.tool_calls import Call

Json = dict[str, Any]
router = APIRouter()


@router.post("/v1/responses", **RESPONSES)
async def responses(request: Request) -> Response:
    """Answer the last message of `input`; the thinking is an item `reasoning`, the answer a message."""
    body = await body_of(request, ResponsesRequest)
    return await solved(request, as_chat(body), lambda solving: ResponsesReplyWriter(solving, body))


class ResponsesReplyWriter:
    """Writes the reply to the request `solving`, its events in the order that OpenAI documents."""

    def __init__(self, solving: Solving, body: ResponsesRequest) -> None:
        self._solving = solving
        self._body = body
        self._id = f"resp_{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._sent = 0
        self._output: list[Json] = []  # items that are complete
        self._item: Json | None = None  # the one that is being written
        self._text = ""

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The whole stream as server-sent events."""
        async with aclosing(self._events()) as events:
            async for event in events:
                yield _frame(event)

    async def whole(self) -> bytes:
        """The response in one piece."""
        last: Json = {}
        async with aclosing(self._events()) as events:
            async for event in events:
                last = event
        return json.dumps(last["response"]).encode()

    def failure(self, error: Exception) -> bytes:
        """What ends a stream that broke."""
        failed = response_to(error).body.error
        return _frame(self._event("error", code=failed.code, message=failed.message, param=failed.param))

    async def _events(self) -> AsyncGenerator[Json, None]:
        started = False
        async with aclosing(reply_parts(self._solving)) as parts:
            async for part in parts:
                if not started:  # not before the first part: until then an error has a status of its own
                    started = True
                    yield self._event("response.created", response=self._response("in_progress"))
                    yield self._event("response.in_progress", response=self._response("in_progress"))
                for event in self._part(part):
                    yield event
        for event in self._closed():
            yield event
        cut = self._solving.accounts[0].finish_reason == "length"
        status = "incomplete" if cut else "completed"
        yield self._event(f"response.{status}", response=self._response(status))

    # ------------------------------------------------------------ items

    def _part(self, part: ReplyPart) -> Iterator[Json]:
        match part:
            case Thinking(text=text) if text:
                yield from self._opened("reasoning")
                yield from self._thinking(text)
            case AnswerText(text=text):
                yield from self._opened("message")
                yield from self._answer(text)
            case ToolCalls(calls=calls):
                yield from self._closed()
                for call in calls:
                    yield from self._called(call)
            case _:
                pass

    def _opened(self, kind: str) -> Iterator[Json]:
        """Start an item of this kind, unless it is the one that is being written."""
        if self._item is not None and self._item["type"] == kind:
            return
        yield from self._closed()
        item: Json = {"id": f"{kind[:3]}_{uuid.uuid4().hex}", "type": kind, "status": "in_progress"}
        if kind == "message":
            item |= {"role": "assistant", "content": []}
        else:
            item |= {"summary": [], "content": []}
        self._item, self._text = item, ""
        yield self._item_event("output_item.added", item=item)
        if kind == "reasoning" and self._summarised:
            yield self._in_summary("part.added", part=_part("summary_text", ""))
        else:
            yield self._in_content("content_part.added", part=_part(self._part_kind, ""))

    def _thinking(self, text: str) -> Iterator[Json]:
        self._text += text
        if self._summarised:
            yield self._in_summary("text.delta", delta=text)
        else:
            yield self._in_content("reasoning_text.delta", delta=text)

    def _answer(self, text: str) -> Iterator[Json]:
        self._text += text
        yield self._in_content("output_text.delta", delta=text, logprobs=[])

    def _closed(self) -> Iterator[Json]:
        """End the item that is being written, if there is one."""
        if self._item is None:
            return
        text, kind = self._text, self._part_kind
        part = _part(kind, text)
        if kind == "summary_text":
            yield self._in_summary("text.done", text=text)
            yield self._in_summary("part.done", part=part)
        else:
            logprobs: Json = {"logprobs": []} if kind == "output_text" else {}
            yield self._in_content(f"{kind}.done", text=text, **logprobs)
            yield self._in_content("content_part.done", part=part)
        place = "summary" if kind == "summary_text" else "content"
        done = self._item | {"status": "completed", place: [part]}
        yield self._item_event("output_item.done", item=done)
        self._output.append(done)
        self._item = None

    def _called(self, call: Call) -> Iterator[Json]:
        item: Json = {"id": f"fc_{uuid.uuid4().hex}", "type": "function_call", "status": "in_progress"}
        item |= {"call_id": call.id, "name": call.name, "arguments": ""}
        place: Json = {"item_id": item["id"], "output_index": len(self._output)}
        yield self._item_event("output_item.added", item=item)
        yield self._event("response.function_call_arguments.delta", delta=call.arguments, **place)
        whole = {"arguments": call.arguments, "name": call.name}
        yield self._event("response.function_call_arguments.done", **whole, **place)
        done = item | {"status": "completed", "arguments": call.arguments}
        yield self._item_event("output_item.done", item=done)
        self._output.append(done)

    @property
    def _summarised(self) -> bool:
        return self._body.reasoning is not None and self._body.reasoning.summarised

    @property
    def _part_kind(self) -> str:
        if self._item is not None and self._item["type"] == "message":
            return "output_text"
        return "summary_text" if self._summarised else "reasoning_text"

    # ------------------------------------------------------------ events

    def _event(self, kind: str, **fields: Any) -> Json:
        self._sent += 1
        return {"type": kind, "sequence_number": self._sent - 1, **fields}

    def _item_event(self, kind: str, *, item: Json) -> Json:
        return self._event(f"response.{kind}", output_index=len(self._output), item=item)

    def _in_content(self, kind: str, **fields: Any) -> Json:
        return self._inside(kind, content_index=0, **fields)

    def _in_summary(self, kind: str, **fields: Any) -> Json:
        return self._inside(f"reasoning_summary_{kind}", summary_index=0, **fields)

    def _inside(self, kind: str, **fields: Any) -> Json:
        assert self._item is not None
        place: Json = {"item_id": self._item["id"], "output_index": len(self._output)}
        return self._event(f"response.{kind}", **place, **fields)

    def _response(self, status: str) -> Json:
        body, asked = self._body, self._solving.asked
        over = status != "in_progress"
        effort = None if body.reasoning is None else body.reasoning.effort
        response: Json = {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": asked.offer.name,
            "output": list(self._output),
            "parallel_tool_calls": not asked.one_call,
            "previous_response_id": None,
            "reasoning": {"effort": effort, "summary": None},
            "store": False,
            "temperature": asked.sampling.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": body.sent("tool_choice") or "auto",
            "tools": body.sent("tools") or [],
            "top_p": asked.sampling.top_p,
            "truncation": "disabled",
            "usage": _usage(self._solving) if over else None,
            "user": body.user,
        }
        return response | ({"specreason": report_of(self._solving).model_dump(mode="json")} if over else {})


def _part(kind: str, text: str) -> Json:
    more: Mapping[str, Sequence[Any]] = {"annotations": [], "logprobs": []}
    return {"type": kind, "text": text, **(more if kind == "output_text" else {})}


def _frame(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _usage(solving: Solving) -> Json:
    counts = usage(solving.accounts)
    return {
        "input_tokens": counts.prompt_tokens,
        "input_tokens_details": {"cached_tokens": counts.prompt_tokens_details.cached_tokens},
        "output_tokens": counts.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": counts.completion_tokens_details.reasoning_tokens},
        "total_tokens": counts.total_tokens,
    }
