"""Bedrock (docs.aws.amazon.com/bedrock/latest/APIReference): Converse, InvokeModel for Claude and Titan, and CountTokens."""

import base64
import json
import re
import struct
import zlib

from . import anthropic
from .asked import Asked, plain, vector
from .shape import check, only
from .vendor import EVENTS, Door, Vendor, after

ID, NAME = re.compile("[a-zA-Z0-9_.:-]+"), re.compile("[a-zA-Z0-9_-]+")
CACHE = {"type!": {"default"}, "ttl": {"5m", "1h"}}
SHOWN = {"text": str, "image": dict, "document": dict, "video": dict}
BLOCK = only({
    **SHOWN,
    "toolUse": {"toolUseId!": ID, "name!": NAME, "input!": dict},
    "toolResult": {
        "toolUseId!": ID, "content!": [only({**SHOWN, "json": dict})], "status": {"success", "error"},
    },
    "cachePoint": CACHE,
    "reasoningContent": only({"reasoningText": {"text!": str, "signature": str}, "redactedContent": str}),
})  # fmt: skip
SPEC = {"name!": NAME, "description": str, "inputSchema!": {"json!": dict}, "strict": bool}
COUNTED = {
    "messages!": [{"role!": {"user", "assistant"}, "content!": [BLOCK]}],
    "system": [only({"text": str, "cachePoint": CACHE})],
    "toolConfig": {
        "tools!": [only({"toolSpec": SPEC, "cachePoint": CACHE})],
        "toolChoice": only({"auto": {}, "any": {}, "tool": {"name!": NAME}}),
    },
    "additionalModelRequestFields": dict,
}  # fmt: skip
CONVERSE = {
    **COUNTED,
    "inferenceConfig": {"maxTokens": int, "temperature": float, "topP": float, "stopSequences": [str]},
    "outputConfig": {
        "textFormat": {
            "type!": {"json_schema"}, "structure!": {"jsonSchema!": {"schema!": str, "name": str, "description": str}},
        },
        "effort": str,
    },
    "additionalModelResponseFieldPaths": [str], "requestMetadata": dict, "performanceConfig": dict, "serviceTier": dict,
}  # fmt: skip
CLAUDE = {**anthropic.MESSAGES, "anthropic_version!": {"bedrock-2023-05-31", "2026-10-21"}, "anthropic_beta": [str]}
TITAN = {"inputText!": str, "dimensions": int, "normalize": bool, "embeddingTypes": [{"float", "binary"}]}


def converse_asked(call):
    asked, body = Asked(), call.body
    for message in body["messages"]:
        parts = message["content"]
        if message["role"] == "user":
            asked.said = plain(parts)
            results = [part["toolResult"] for part in parts if "toolResult" in part]
            asked.results = [(result["toolUseId"], result_text(result["content"])) for result in results]
        asked.calls |= {part["toolUse"]["toolUseId"]: part["toolUse"]["input"] for part in parts if "toolUse" in part}
    specs = [tool["toolSpec"] for tool in body.get("toolConfig", {}).get("tools", []) if "toolSpec" in tool]
    asked.tools = {spec["name"]: spec["inputSchema"]["json"] for spec in specs}
    asked.must_call = bool(body.get("toolConfig", {}).get("toolChoice", {}).keys() & {"any", "tool"})
    additional = body.get("additionalModelRequestFields", {}).get("tool_choice", {})
    asked.singly = additional.get("disable_parallel_tool_use", False)
    structure = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {})
    if structure:
        asked.schema = json.loads(structure["jsonSchema"]["schema"])
    return asked


def result_text(parts):
    return "".join(part["text"] if "text" in part else json.dumps(part["json"]) for part in parts)


def use(id, name):
    return {"toolUse": {"toolUseId": id, "name": name}}


END = {
    "usage": {"inputTokens": 10, "outputTokens": 7, "totalTokens": 17},
    "metrics": {"latencyMs": 5},
}


def converse_whole(said, _):
    blocks = [{"text": said.text}] if said.text else []
    for id, name, value in said.calls:
        block = use(id, name)
        block["toolUse"]["input"] = value
        blocks.append(block)
    message = {"role": "assistant", "content": blocks}
    stop = "tool_use" if said.calls else "end_turn"
    return {"output": {"message": message}, "stopReason": stop, **END}


def converse_frames(said, _):
    yield frame("messageStart", {"role": "assistant"})
    for piece in said.pieces():
        yield frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}})
    if said.text:
        yield frame("contentBlockStop", {"contentBlockIndex": 0})
    for index, (id, name, value) in enumerate(said.calls, 1 if said.text else 0):
        yield frame("contentBlockStart", {"contentBlockIndex": index, "start": use(id, name)})
        text = json.dumps(value)
        for part in (text[:4], text[4:]):
            delta = {"toolUse": {"input": part}}
            yield frame("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})
        yield frame("contentBlockStop", {"contentBlockIndex": index})
    yield frame("messageStop", {"stopReason": "tool_use" if said.calls else "end_turn"})
    yield frame("metadata", END)


def invoked_frames(said, call):
    """Anthropic's events as Bedrock's InvokeModelWithResponseStream has them."""
    for event in anthropic.events(said, call):
        yield frame("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode()})


def frame(event_type, payload):
    """A message of AWS's event stream encoding."""
    headers = b""
    for name, value in ((":event-type", event_type), (":content-type", "application/json"), (":message-type", "event")):
        headers += struct.pack(">B", len(name)) + name.encode() + b"\7" + struct.pack(">H", len(value)) + value.encode()
    payload = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def titan(call):
    return {"embedding": vector(call.body["inputText"], call.body.get("dimensions", 8)), "inputTextTokenCount": 3}


EXCEPTIONS = {400: "ValidationException", 404: "ResourceNotFoundException", 429: "ThrottlingException"}


def error(problem):
    kind = "AccessDeniedException" if problem.status == 401 else EXCEPTIONS.get(problem.status, "ServiceUnavailableException")
    return {**after(problem), "x-amzn-errortype": kind}, {"message": problem.message}


def door(model, operation, form, **answered):
    return Door(f"/model/(?P<model>{model})/{operation}", lambda call: check(call.body, form), **answered)


ANY, TITANS = "[^/]+", r"amazon\.titan-embed-[^/]+"
CHAT, INVOKED = {"read": converse_asked}, {"read": anthropic.messages_asked}
VENDOR = Vendor(
    "authorization",
    [
        door(ANY, "converse", CONVERSE, whole=converse_whole, **CHAT),
        door(ANY, "converse-stream", CONVERSE, frames=converse_frames, kind=EVENTS, **CHAT),
        door(TITANS, "invoke", TITAN, made=titan),
        door(ANY, "invoke", CLAUDE, whole=anthropic.whole, **INVOKED),
        door(ANY, "invoke-with-response-stream", CLAUDE, frames=invoked_frames, kind=EVENTS, **INVOKED),
        door(ANY, "count-tokens", {"input!": {"converse!": COUNTED}}, made=lambda call: {"inputTokens": 42}),
    ],
    error,
)
