"""Anthropic (platform.claude.com/docs/en/api): messages, and how many tokens they have."""

import json
import re

from .asked import Asked, plain
from .shape import Wrong, by, check
from .vendor import Door, Vendor, after

CACHE = {"type!": {"ephemeral"}, "ttl": {"5m", "1h"}}
TEXT = {"type!": str, "text!": str, "cache_control": CACHE, "citations": (list, None)}
IMAGE = {"type!": str, "source!": dict, "cache_control": CACHE}
SHOWN = {"text": TEXT, "image": IMAGE, "document": {**IMAGE, "title": str, "context": str, "citations": dict}}
ID = re.compile("[a-zA-Z0-9_-]+")
BLOCK = by("type", {
    **SHOWN,
    "tool_use": {"type!": str, "id!": ID, "name!": str, "input!": dict, "cache_control": CACHE, "caller": dict},
    "tool_result": {
        "type!": str, "tool_use_id!": ID, "content": (str, [by("type", SHOWN)]), "is_error": bool, "cache_control": CACHE,
    },
    "thinking": {"type!": str, "thinking!": str, "signature!": str},
    "redacted_thinking": {"type!": str, "data!": str},
})  # fmt: skip
# What is counted; the rest says how it is answered.
COUNTED = {
    "messages!": [{"role!": {"user", "assistant"}, "content!": (str, [BLOCK])}], "system": (str, [TEXT]),
    "tools": [{
        "name!": re.compile("[a-zA-Z0-9_-]{1,128}"), "description": str, "input_schema!": dict, "type": {"custom"},
        "strict": bool, "cache_control": CACHE, "eager_input_streaming": (bool, None),
    }],
    "tool_choice": by("type", {
        "auto": {"type!": str, "disable_parallel_tool_use": bool}, "any": {"type!": str, "disable_parallel_tool_use": bool},
        "tool": {"type!": str, "name!": str, "disable_parallel_tool_use": bool}, "none": {"type!": str},
    }),
    "thinking": dict, "output_config": {"format": {"type!": {"json_schema"}, "schema!": dict}, "effort": str},
}  # fmt: skip
MESSAGES = {
    **COUNTED, "max_tokens!": int, "stop_sequences": [str], "temperature": float, "top_p": float, "top_k": int,
    "metadata": {"user_id": (str, None)}, "service_tier": {"auto", "standard_only"},
}  # fmt: skip


def calls_have_results(messages):
    """Every call has its result in the next message, and every result its call in the one before."""
    made = set()
    for index, message in enumerate(messages):
        blocks = message["content"] if isinstance(message["content"], list) else []
        given = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if given != made:
            raise Wrong(f"messages.{index}", f"results of {sorted(given)}, calls {sorted(made)}")
        made = {block["id"] for block in blocks if block["type"] == "tool_use"}


def checked(form):
    def check_call(call):
        check(call.body, form)
        calls_have_results(call.body["messages"])

    return check_call


def messages_asked(call):
    asked, body = Asked(), call.body
    for message in body["messages"]:
        parts = message["content"]
        parts = [{"type": "text", "text": parts}] if isinstance(parts, str) else parts
        if message["role"] == "user":
            asked.said = plain(parts)
            asked.results = [(p["tool_use_id"], plain(p["content"])) for p in parts if p["type"] == "tool_result"]
        asked.calls |= {part["id"]: part["input"] for part in parts if part["type"] == "tool_use"}
    asked.tools = {tool["name"]: tool["input_schema"] for tool in body.get("tools", [])}
    asked.must_call = body.get("tool_choice", {}).get("type") in ("any", "tool")
    asked.singly = body.get("tool_choice", {}).get("disable_parallel_tool_use", False)
    asked.schema = body.get("output_config", {}).get("format", {}).get("schema")
    return asked


def whole(said, call):
    blocks = [{"type": "text", "text": said.text}] if said.text else []
    blocks += [{"type": "tool_use", "id": id, "name": name, "input": value} for id, name, value in said.calls]
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": call.model, "content": blocks,
        "stop_reason": "tool_use" if said.calls else "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 7},
    }  # fmt: skip


def events(said, call):
    answer = whole(said, call)
    yield {"type": "message_start", "message": {**answer, "content": [], "stop_reason": None}}
    for index, block in enumerate(answer["content"]):
        empty = {"text": ""} if block["type"] == "text" else {"input": {}}
        yield {"type": "content_block_start", "index": index, "content_block": {**block, **empty}}
        if block["type"] == "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in said.pieces()]
        else:
            text = json.dumps(block["input"])
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in (text[:4], text[4:])]
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"input_tokens": 10, "output_tokens": 7}}
    yield {"type": "message_stop"}


def frames(said, call):
    for event in events(said, call):
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def error(problem):
    kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    message, wrong = problem.message, problem.wrong
    if wrong:
        message = f"{wrong.unknown}: Extra inputs are not permitted" if wrong.unknown else str(wrong)
    said = {"type": kinds.get(problem.status, "api_error"), "message": message}
    return after(problem), {"type": "error", "error": said}


VENDOR = Vendor(
    "x-api-key",
    [
        Door("/v1/messages", checked({**MESSAGES, "model!": str, "stream": bool}), messages_asked, whole, frames),
        Door("/v1/messages/count_tokens", checked({**COUNTED, "model!": str}), made=lambda call: {"input_tokens": 42}),
    ],
    error,
    {"anthropic-version": {"2023-06-01", "2026-10-21"}},
)
