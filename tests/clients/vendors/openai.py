"""OpenAI (platform.openai.com/docs/api-reference): chat completions and embeddings, which Azure has, too; and the vendor."""

import base64
import json
import re
import struct

from . import responses
from .asked import Asked, plain, vector
from .shape import Wrong, by, check
from .vendor import Door, Vendor, after

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
TEXT = {"type!": {"text"}, "text!": str}
SHOWN = {
    "text": TEXT,
    "image_url": {"type!": str, "image_url!": {"url!": str, "detail": {"auto", "low", "high"}}},
    "input_audio": {"type!": str, "input_audio!": {"data!": str, "format!": {"wav", "mp3"}}},
    "file": {"type!": str, "file!": {"file_data": str, "file_id": str, "filename": str}},
}
SPOKEN = {
    "text": TEXT,
    "refusal": {"type!": str, "refusal!": str},
}
# `annotations`, `function_call`, `index` and what is called `parsed` stand in answers of OpenAI's own SDKs, which send them back.
CALLED = {"name!": NAME, "arguments!": str, "parsed_arguments": object}
CALL = {"id!": str, "type!": {"function"}, "function!": CALLED, "index": int}
INSTRUCTION = {"role!": str, "content!": (str, [TEXT]), "name": str}
MESSAGE = by("role", {
    "system": INSTRUCTION,
    "developer": INSTRUCTION,
    "user": {"role!": str, "content!": (str, [by("type", SHOWN)]), "name": str},
    "assistant": {
        "role!": str, "content": (str, [by("type", SPOKEN)], None), "refusal": (str, None), "tool_calls": [CALL],
        "audio": ({"id!": str}, None), "name": str, "annotations": ([dict], None), "function_call": None, "parsed": object,
    },
    "tool": {"role!": str, "content!": (str, [TEXT]), "tool_call_id!": str},
})  # fmt: skip
FUNCTION = {"name!": NAME, "description": str, "parameters": dict, "strict": (bool, None)}
FORMAT = by("type", {
    "text": {"type!": str},
    "json_object": {"type!": str},
    "json_schema": {
        "type!": str,
        "json_schema!": {"name!": NAME, "description": str, "schema": dict, "strict": (bool, None)},
    },
})  # fmt: skip
MAYBE, COUNT, FLAG = (float, None), (int, None), (bool, None)
# As of Azure's dated interface 2024-10-21, in its words.
CHAT = {
    "model": str, "messages!": [MESSAGE], "temperature": MAYBE, "top_p": MAYBE, "stream": FLAG,
    "stream_options": ({"include_usage": bool}, None), "stop": (str, [str], None), "max_tokens": COUNT,
    "max_completion_tokens": COUNT, "presence_penalty": MAYBE, "frequency_penalty": MAYBE, "logit_bias": (dict, None),
    "logprobs": FLAG, "top_logprobs": COUNT, "n": COUNT, "parallel_tool_calls": bool, "response_format": FORMAT,
    "seed": COUNT, "tools": [{"type!": {"function"}, "function!": FUNCTION}],
    "tool_choice": ({"none", "auto", "required"}, {"type!": {"function"}, "function!": {"name!": NAME}}), "user": str,
}  # fmt: skip
# What OpenAI's own interface, and Azure's newer one, have since.
CHAT_NOW = {
    **CHAT, "metadata": (dict, None), "store": FLAG, "reasoning_effort": (str, None), "verbosity": (str, None),
    "service_tier": (str, None), "prediction": (dict, None), "modalities": ([str], None), "audio": (dict, None),
    "web_search_options": dict, "prompt_cache_key": (str, None), "prompt_cache_retention": (str, None),
    "safety_identifier": (str, None), "stream_options": ({"include_usage": bool, "include_obfuscation": bool}, None),
}  # fmt: skip
TEXTS = (str, [str], [int], [[int]])
EMBEDDINGS = {
    "model": str, "input!": TEXTS, "encoding_format": {"float", "base64"}, "dimensions": int, "user": str,
}  # fmt: skip


def form_check(form):
    """Where the path does not say which model is asked, the body must."""

    def checked(call):
        check(call.body, form)
        if not call.model:
            raise Wrong("model", "you must provide a model parameter")

    return checked


def chat_check(form):
    def checked(call):
        form_check(form)(call)
        if call.body.get("stream_options") and not call.body.get("stream"):
            raise Wrong("stream_options", "only allowed when `stream` is")
        if call.body.get("max_tokens") and call.body.get("max_completion_tokens"):
            raise Wrong("max_tokens", "and max_completion_tokens are the same")
        results_follow(call.body["messages"])
        said = call.body.get("response_format", {}).get("json_schema", {})
        strictly = [("response_format.json_schema.schema", said, said.get("schema"))]
        for index, tool in enumerate(call.body.get("tools", [])):
            strictly.append((f"tools[{index}].function.parameters", tool["function"], tool["function"].get("parameters")))
        for at, of, schema in strictly:
            if of.get("strict"):
                bounded(schema, at)

    return checked


def results_follow(messages):
    """Every call has its result, right after it, and every result its call."""
    if not messages:
        raise Wrong("messages", "empty")
    open_calls = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                raise Wrong(f"messages[{index}].tool_call_id", "no call before it has that id")
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            raise Wrong(f"messages[{index}]", f"no result came of {sorted(open_calls)}")
        open_calls = {call["id"] for call in message.get("tool_calls", [])}
        if message["role"] == "assistant" and not open_calls and not (message.get("content") or message.get("refusal")):
            raise Wrong(f"messages[{index}].content", "nothing is said")
    if open_calls:
        raise Wrong("messages", f"no result came of {sorted(open_calls)}")


def bounded(schema, at):
    """What `strict` asks of a schema: every key of every object is named and demanded."""
    for name, of in schema.get("properties", {}).items():
        bounded(of, f"{at}.properties.{name}")
    if isinstance(schema.get("items"), dict):
        bounded(schema["items"], f"{at}.items")
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            raise Wrong(at, "`additionalProperties` is required to be false")
        if sorted(schema.get("required", [])) != sorted(schema.get("properties", {})):
            raise Wrong(at, "`required` must have every key of `properties`")


def chat_asked(call):
    asked, body = Asked(), call.body
    for message in body["messages"]:
        if message["role"] == "user":
            asked.said, asked.results = plain(message["content"]), []
        for made in message.get("tool_calls", []):
            asked.calls[made["id"]] = json.loads(made["function"]["arguments"])
        if message["role"] == "tool":
            asked.results.append((message["tool_call_id"], plain(message["content"])))
    asked.tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in body.get("tools", [])}
    asked.must_call = body.get("tool_choice") not in (None, "auto", "none")
    asked.singly = body.get("parallel_tool_calls") is False
    asked.schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    return asked


def chat_call(id, name, value):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(value)}}


USAGE = {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}


def chat_whole(said, call):
    message = {"role": "assistant", "content": said.text or None, "refusal": None}
    if said.calls:
        message["tool_calls"] = [chat_call(*made) for made in said.calls]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if said.calls else "stop", "logprobs": None}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": call.model, "choices": [choice],
        "usage": USAGE,
    }  # fmt: skip


def chat_chunks(said, call):
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": call.model}

    def chunk(delta, finish=None):
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": ""})
    for piece in said.pieces():
        yield chunk({"content": piece})
    for index, made in enumerate(said.calls):
        made = chat_call(*made)
        text = made["function"]["arguments"]
        made["function"]["arguments"] = ""
        yield chunk({"tool_calls": [{"index": index, **made}]})
        for part in (text[:4], text[4:]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield chunk({}, "tool_calls" if said.calls else "stop")
    if (call.body.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": USAGE}


def frames(chunks):
    """The stream of such chunks."""

    def framed(said, call):
        for chunk in chunks(said, call):
            yield f"data: {json.dumps(chunk)}\n\n".encode()
        yield b"data: [DONE]\n\n"

    return framed


def embeddings(call):
    body = call.body
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vectors = [vector(str(text), body.get("dimensions", 8)) for text in texts]
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors]
    data = [{"object": "embedding", "index": n, "embedding": v} for n, v in enumerate(vectors)]
    return {"object": "list", "data": data, "model": call.model, "usage": {"prompt_tokens": 3, "total_tokens": 3}}


def error(problem):
    message, wrong = problem.message, problem.wrong
    if wrong:
        message = f"Unrecognized request argument supplied: {wrong.unknown}" if wrong.unknown else str(wrong)
    said = {"message": message, "type": "invalid_request_error", "param": wrong and wrong.at, "code": None}
    return after(problem), {"error": said}


VENDOR = Vendor(
    "authorization",
    [
        Door("/v1/chat/completions", chat_check(CHAT_NOW), chat_asked, chat_whole, frames(chat_chunks)),
        Door("/v1/embeddings", form_check(EMBEDDINGS), made=embeddings),
        Door("/v1/responses", form_check(responses.FORM), responses.asked, responses.whole, responses.frames),
    ],
    error,
)
