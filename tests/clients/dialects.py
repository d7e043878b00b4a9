"""What the upstream is asked and answers, in each vendor's own words."""

import base64
import json
import struct
import zlib
from dataclasses import dataclass, field


@dataclass
class Asked:
    """What all dialects ask for."""

    said: str = ""
    tools: dict = field(default_factory=dict)  # name -> schema of its input
    calls: dict = field(default_factory=dict)  # id -> input, of earlier turns
    results: list = field(default_factory=list)  # (id, text)
    must_call: bool = False
    schema: dict | None = None


@dataclass
class Answer:
    text: str  # empty where there are calls alone
    calls: list = field(default_factory=list)  # (id, name, input)

    def pieces(self):
        return [piece for piece in self.text.replace(" ", " \0").split("\0") if piece]


def answer(asked):
    if asked.schema:
        return Answer(json.dumps(example(asked.schema)))
    if asked.results:
        return Answer("; ".join(f"{asked.calls[id]['city']}: {text}" for id, text in asked.results))
    if asked.tools:
        calls = []
        for name, schema in asked.tools.items():
            inputs = [{"city": "Paris"}, {"city": "Rome"}] if name == "weather" else [example(schema)]
            calls += [(f"call_{len(calls) + n}", name, value) for n, value in enumerate(inputs)]
        return Answer("" if asked.must_call else "I look it up.", calls)
    return Answer(f"You said: {asked.said}")


def example(schema):
    """A value that fits a schema."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: example(of) for name, of in schema.get("properties", {}).items()}
        case "array":
            return [example(schema["items"])]
        case "integer" | "number":
            return 21
        case "boolean":
            return True
    return "Paris"


def plain(content, kinds=("text", None)):
    """The text of content that is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [] if part.get("type") in kinds)


# --- OpenAI -------------------------------------------------------------------------------------------------------------


def openai_asked(body):
    asked = Asked()
    for message in body["messages"]:
        if message["role"] == "user":
            asked.said, asked.results = plain(message["content"]), []
        for call in message.get("tool_calls") or []:
            asked.calls[call["id"]] = json.loads(call["function"]["arguments"])
        if message["role"] == "tool":
            asked.results.append((message["tool_call_id"], plain(message["content"])))
    asked.tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in body.get("tools", [])}
    asked.must_call = body.get("tool_choice") not in (None, "auto", "none")
    asked.schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    return asked


def openai_call(id, name, value):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(value)}}


OPENAI_USAGE = {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}


def openai_whole(said, body):
    message = {"role": "assistant", "content": said.text or None, "refusal": None}
    if said.calls:
        message["tool_calls"] = [openai_call(*call) for call in said.calls]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if said.calls else "stop", "logprobs": None}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice],
        "usage": OPENAI_USAGE,
    }


def openai_frames(said, body):
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}

    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode()

    yield chunk({"role": "assistant", "content": ""})
    for piece in said.pieces():
        yield chunk({"content": piece})
    for index, call in enumerate(said.calls):
        call = openai_call(*call)
        text = call["function"]["arguments"]
        call["function"]["arguments"] = ""
        yield chunk({"tool_calls": [{"index": index, **call}]})
        for part in (text[:4], text[4:]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield chunk({}, "tool_calls" if said.calls else "stop")
    if body.get("stream_options", {}).get("include_usage"):
        yield f"data: {json.dumps({**head, 'choices': [], 'usage': OPENAI_USAGE})}\n\n".encode()
    yield b"data: [DONE]\n\n"


def vector(text, n):
    """Numbers that tell one text from another, none of which loses anything as 32 bits."""
    return [len(text) / 64.0, *(zlib.crc32(f"{text} {i}".encode()) % 256 / 256.0 for i in range(1, n))]


def openai_embeddings(body):
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vectors = [vector(str(text), body.get("dimensions", 8)) for text in texts]
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors]
    data = [{"object": "embedding", "index": n, "embedding": v} for n, v in enumerate(vectors)]
    return {"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": 3, "total_tokens": 3}}


# --- OpenAI's responses --------------------------------------------------------------------------------------------------


def responses_asked(body):
    asked = Asked()
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


def responses_whole(said, body):
    output = []
    if said.text:
        part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
        output.append(message)
    for id, name, value in said.calls:
        call = {"type": "function_call", "id": f"fc_{id}", "call_id": id, "name": name, "status": "completed"}
        output.append({**call, "arguments": json.dumps(value)})
    usage = {
        "input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 17,
    }  # fmt: skip
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": body["model"],
        "output": output, "usage": usage, "error": None, "incomplete_details": None, "instructions": None,
        "metadata": {}, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "temperature": None,
        "top_p": None,
    }  # fmt: skip


def responses_events(said, body):
    whole = responses_whole(said, body)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    for index, item in enumerate(whole["output"]):
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
    yield {"type": "response.completed", "response": whole}


def responses_frames(said, body):
    for number, event in enumerate(responses_events(said, body)):
        yield f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n".encode()


# --- Anthropic ----------------------------------------------------------------------------------------------------------


def anthropic_asked(body):
    asked = Asked()
    for message in body["messages"]:
        parts = message["content"]
        parts = [{"type": "text", "text": parts}] if isinstance(parts, str) else parts
        if message["role"] == "user":
            asked.said = plain(parts)
            asked.results = [(p["tool_use_id"], plain(p["content"])) for p in parts if p["type"] == "tool_result"]
        asked.calls |= {part["id"]: part["input"] for part in parts if part["type"] == "tool_use"}
    asked.tools = {tool["name"]: tool["input_schema"] for tool in body.get("tools", [])}
    asked.must_call = body.get("tool_choice", {}).get("type") in ("any", "tool")
    asked.schema = body.get("output_config", {}).get("format", {}).get("schema")
    return asked


def anthropic_whole(said, body):
    blocks = [{"type": "text", "text": said.text}] if said.text else []
    blocks += [{"type": "tool_use", "id": id, "name": name, "input": value} for id, name, value in said.calls]
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": body.get("model", "claude"), "content": blocks,
        "stop_reason": "tool_use" if said.calls else "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 7},
    }


def anthropic_events(said, body):
    whole = anthropic_whole(said, body)
    yield {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}
    for index, block in enumerate(whole["content"]):
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
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"input_tokens": 10, "output_tokens": 7}}
    yield {"type": "message_stop"}


def anthropic_frames(said, body):
    for event in anthropic_events(said, body):
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


# --- Bedrock ------------------------------------------------------------------------------------------------------------


def bedrock_asked(body):
    asked = Asked()
    for message in body["messages"]:
        parts = message["content"]
        if message["role"] == "user":
            asked.said = plain(parts)
            results = [part["toolResult"] for part in parts if "toolResult" in part]
            asked.results = [(result["toolUseId"], bedrock_result(result["content"])) for result in results]
        asked.calls |= {part["toolUse"]["toolUseId"]: part["toolUse"]["input"] for part in parts if "toolUse" in part}
    specs = [tool["toolSpec"] for tool in body.get("toolConfig", {}).get("tools", []) if "toolSpec" in tool]
    asked.tools = {spec["name"]: spec["inputSchema"]["json"] for spec in specs}
    asked.must_call = bool(body.get("toolConfig", {}).get("toolChoice", {}).keys() & {"any", "tool"})
    structure = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {})
    if structure:
        asked.schema = json.loads(structure["jsonSchema"]["schema"])
    return asked


def bedrock_result(parts):
    return "".join(part["text"] if "text" in part else json.dumps(part["json"]) for part in parts)


def bedrock_use(id, name):
    return {"toolUse": {"toolUseId": id, "name": name}}


BEDROCK_END = {
    "usage": {"inputTokens": 10, "outputTokens": 7, "totalTokens": 17},
    "metrics": {"latencyMs": 5},
}


def bedrock_whole(said, _body):
    blocks = [{"text": said.text}] if said.text else []
    for id, name, value in said.calls:
        use = bedrock_use(id, name)
        use["toolUse"]["input"] = value
        blocks.append(use)
    message = {"role": "assistant", "content": blocks}
    stop = "tool_use" if said.calls else "end_turn"
    return {"output": {"message": message}, "stopReason": stop, **BEDROCK_END}


def bedrock_frames(said, _body):
    yield frame("messageStart", {"role": "assistant"})
    for piece in said.pieces():
        yield frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}})
    if said.text:
        yield frame("contentBlockStop", {"contentBlockIndex": 0})
    for index, (id, name, value) in enumerate(said.calls, 1 if said.text else 0):
        yield frame("contentBlockStart", {"contentBlockIndex": index, "start": bedrock_use(id, name)})
        text = json.dumps(value)
        for part in (text[:4], text[4:]):
            delta = {"toolUse": {"input": part}}
            yield frame("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})
        yield frame("contentBlockStop", {"contentBlockIndex": index})
    yield frame("messageStop", {"stopReason": "tool_use" if said.calls else "end_turn"})
    yield frame("metadata", BEDROCK_END)


def invoked_frames(said, body):
    """Anthropic's events as Bedrock's InvokeModelWithResponseStream has them."""
    for event in anthropic_events(said, body):
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


SSE, EVENTS = "text/event-stream", "application/vnd.amazon.eventstream"
# End of the path -> how the request is read, and answered in one piece and in a stream.
DIALECTS = {
    "/chat/completions": (openai_asked, openai_whole, openai_frames, SSE),
    "/responses": (responses_asked, responses_whole, responses_frames, SSE),
    "/messages": (anthropic_asked, anthropic_whole, anthropic_frames, SSE),
    "/converse": (bedrock_asked, bedrock_whole, None, None),
    "/converse-stream": (bedrock_asked, None, bedrock_frames, EVENTS),
    "/invoke": (anthropic_asked, anthropic_whole, None, None),
    "/invoke-with-response-stream": (anthropic_asked, None, invoked_frames, EVENTS),
}
