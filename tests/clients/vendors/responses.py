"""OpenAI's responses: what is asked, and what is answered."""

import json

from .asked import Asked, plain
from .shape import by

MAYBE, COUNT, FLAG, WORD = (float, None), (int, None), (bool, None), (str, None)
# What only the caller's own bytes have here is not looked into.
ITEM = by("type", {
    "message": {"type": str, "role!": str, "content!": (str, [dict]), "id": str, "status": str},
    "function_call": {"type!": str, "call_id!": str, "name!": str, "arguments!": str, "id": WORD, "status": WORD},
    "function_call_output": {"type!": str, "call_id!": str, "output!": (str, [dict]), "id": WORD, "status": WORD},
    "reasoning": dict,
}, unsaid="message")  # fmt: skip
FORM = {
    "model": str, "input": (str, [ITEM]), "instructions": WORD, "include": ([str], None), "max_output_tokens": COUNT,
    "max_tool_calls": COUNT, "metadata": (dict, None), "parallel_tool_calls": FLAG, "previous_response_id": WORD,
    "prompt_cache_key": WORD, "reasoning": (dict, None), "safety_identifier": WORD, "service_tier": WORD, "store": FLAG,
    "stream": FLAG, "stream_options": (dict, None), "temperature": MAYBE, "text": dict, "tool_choice": (str, dict),
    "tools": [{"type!": {"function"}, "name!": str, "parameters!": dict, "strict": FLAG, "description": WORD}],
    "top_logprobs": COUNT, "top_p": MAYBE, "truncation": WORD, "user": str,
}  # fmt: skip


def asked(call):
    asked, body = Asked(), call.body
    items = body["input"] if isinstance(body["input"], list) else [{"role": "user", "content": body["input"]}]
    for item in items:
        if item.get("role") == "user":
            asked.said, asked.results = plain(item["content"], ("input_text",)), []
        if item.get("type") == "function_call":
            asked.calls[item["call_id"]] = json.loads(item["arguments"])
        if item.get("type") == "function_call_output":
            asked.results.append((item["call_id"], plain(item["output"], ("input_text",))))
    asked.tools = {tool["name"]: tool["parameters"] for tool in body.get("tools", [])}
    asked.must_call = body.get("tool_choice") not in (None, "auto", "none")
    asked.schema = body.get("text", {}).get("format", {}).get("schema")
    return asked


def whole(said, call):
    output = []
    if said.text:
        part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
        output.append(message)
    for id, name, value in said.calls:
        made = {"type": "function_call", "id": f"fc_{id}", "call_id": id, "name": name, "status": "completed"}
        output.append({**made, "arguments": json.dumps(value)})
    usage = {
        "input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 17,
    }  # fmt: skip
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": call.model,
        "output": output, "usage": usage, "error": None, "incomplete_details": None, "instructions": None,
        "metadata": {}, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "temperature": None,
        "top_p": None,
    }  # fmt: skip


def events(said, call):
    answer = whole(said, call)
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    for index, item in enumerate(answer["output"]):
        at = {"item_id": item["id"], "output_index": index}
        empty = {"content": []} if item["type"] == "message" else {"arguments": ""}
        added = {**item, "status": "in_progress", **empty}
        yield {"type": "response.output_item.added", "output_index": index, "item": added}
        if item["type"] == "message":
            at["content_index"] = 0
            part = item["content"][0]
            yield {"type": "response.content_part.added", **at, "part": {**part, "text": ""}}
            for piece in said.pieces():
                yield {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
            yield {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []}
            yield {"type": "response.content_part.done", **at, "part": part}
        else:
            text = item["arguments"]
            for delta in (text[:4], text[4:]):
                yield {"type": "response.function_call_arguments.delta", **at, "delta": delta}
            yield {"type": "response.function_call_arguments.done", **at, "name": item["name"], "arguments": text}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": answer}


def frames(said, call):
    for number, event in enumerate(events(said, call)):
        yield f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n".encode()
