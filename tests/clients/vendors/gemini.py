"""Google's Gemini (ai.google.dev/api): generateContent and its stream, embeddings, and how many tokens a request has.

Its models think: each call, and else the last words, come with a signature, without which the third generation does not
go on with a call.
"""

import base64
import json
import re

from .asked import Asked, vector
from .shape import Wrong, check, only
from .vendor import Door, Vendor

NAME = re.compile("[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
BYTES = re.compile("[a-zA-Z0-9+/_-]+={0,2}")
BLOB = {"mimeType!": str, "data!": BYTES}
PART = only(
    {
        "text": str,
        "inlineData": BLOB,
        "fileData": {"mimeType": str, "fileUri!": str},
        "functionCall": {"id": str, "name!": NAME, "args": dict},
        "functionResponse": {"id": str, "name!": NAME, "response!": dict, "parts": [only({"inlineData": BLOB})]},
    },
    beside={"thought": bool, "thoughtSignature": BYTES},
)
GENERATION = {
    "stopSequences": [str], "responseMimeType": {"text/plain", "application/json", "text/x.enum"}, "responseSchema": dict,
    "responseJsonSchema": dict, "candidateCount": int, "maxOutputTokens": int, "temperature": float, "topP": float,
    "topK": int, "seed": int, "presencePenalty": float, "frequencyPenalty": float, "responseLogprobs": bool, "logprobs": int,
    "thinkingConfig": {"includeThoughts": bool, "thinkingBudget": int, "thinkingLevel": {"minimal", "low", "medium", "high"}},
    "responseModalities": [str], "mediaResolution": str,
}  # fmt: skip
DECLARATION = {"name!": NAME, "description": str, "parameters": dict, "parametersJsonSchema": dict}
GENERATE = {
    "contents!": [{"role!": {"user", "model"}, "parts!": [PART]}],
    "systemInstruction": {"role": str, "parts!": [{"text!": str}]},
    "tools": [{"functionDeclarations!": [DECLARATION]}],
    "toolConfig": {
        "functionCallingConfig": {"mode": {"AUTO", "ANY", "NONE", "VALIDATED"}, "allowedFunctionNames": [str]},
    },
    "safetySettings": [dict], "generationConfig": GENERATION, "cachedContent": str,
}  # fmt: skip
COUNT = only({"contents": GENERATE["contents!"], "generateContentRequest": {"model!": str, **GENERATE}})
EMBED = {
    "requests!": [{
        "model!": str, "content!": {"role": str, "parts!": [{"text!": str}]}, "title": str, "outputDimensionality": int,
        "taskType": {"RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION", "CLUSTERING"},
    }],
}  # fmt: skip
TEXTS_MAX, STOPS_MAX = 100, 5
# What Google says to send for a call that Gemini did not make.
UNSIGNED = "skip_thought_signature_validator"


def generate_check(call):
    check(call.body, GENERATE)
    can_be_generated(call.body, is_third(call.model))


def count_check(call):
    check(call.body, COUNT)
    whole = call.body.get("generateContentRequest")
    if whole:
        same_model(whole["model"], call, "generateContentRequest.model")
        can_be_generated(whole, is_third(call.model))


def embed_check(call):
    check(call.body, EMBED)
    if not 0 < len(call.body["requests"]) <= TEXTS_MAX:
        raise Wrong("requests", f"at most {TEXTS_MAX} requests can be in one batch")
    for index, request in enumerate(call.body["requests"]):
        same_model(request["model"], call, f"requests[{index}].model")


def same_model(name, call, at):
    if name != f"models/{call.model}":
        raise Wrong(at, f"{name!r} is not the model of the path")


def is_third(model):
    return not model.startswith(("gemini-1", "gemini-2", "gemma"))


def can_be_generated(body, is_third):
    """What no table of fields says."""
    config = body.get("generationConfig", {})
    is_json = config.get("responseMimeType") == "application/json"
    if {"responseSchema", "responseJsonSchema"} & config.keys() and not is_json:
        raise Wrong("generation_config.response_json_schema", "only set for the response mimetype application/json")
    if is_json and body.get("tools") and not is_third:
        raise Wrong("tools", "function calling with a response mime type: 'application/json' is unsupported")
    if len(config.get("stopSequences", [])) > STOPS_MAX:
        raise Wrong("generation_config.stop_sequences", f"at most {STOPS_MAX}")
    thinking = config.get("thinkingConfig", {})
    if "thinkingLevel" in thinking and ("thinkingBudget" in thinking or not is_third):
        raise Wrong("generation_config.thinking_config", "thinking level is not supported for this model")
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {})
    if calling.get("allowedFunctionNames") and calling.get("mode") not in ("ANY", "VALIDATED"):
        raise Wrong("tool_config.function_calling_config.allowed_function_names", "only set when the mode is ANY")
    contents_follow(body["contents"], is_third)


def contents_follow(contents, is_third):
    """Calls are answered at once, by their names and ids, and are as signed as they came."""
    if not contents:
        raise Wrong("contents", "contents is not specified")
    made = []
    # Not every client gives back all that it got: those that do say so.
    may_be_unsigned = not any("signed" in part.get("text", "") for content in contents for part in content["parts"])
    for index, content in enumerate(contents):
        at, parts = f"contents[{index}]", content["parts"]
        if not parts:
            raise Wrong(f"{at}.parts", "must include at least one parts field")
        given = [part["functionResponse"] for part in parts if "functionResponse" in part]
        if content["role"] == "user" and sorted(map(of_call, given)) != sorted(map(of_call, made)):
            why = "the number of function response parts is not equal to the number of function call parts of the turn"
            raise Wrong(at, f"{why}: {given}, {made}")
        if (content["role"] == "model" and given) or (index == 0 and content["role"] == "model"):
            raise Wrong(at, "a function response or a call comes immediately after a user turn")
        signed = [part for part in parts if "functionCall" in part]
        made = [part["functionCall"] for part in signed]
        for n, part in enumerate(signed):
            has = part.get("thoughtSignature")
            if has is None and n == 0 and (is_third or not may_be_unsigned):
                raise Wrong(at, f"function call `{made[0]['name']}` is missing a thought_signature in functionCall parts")
            if has not in (None, signature(made[n])) and not (has == UNSIGNED and may_be_unsigned):
                raise Wrong(at, "Thought signature is not valid")


def of_call(part):
    return part["name"], part.get("id", "")


def signature(call):
    """Which only this call has."""
    return base64.b64encode(json.dumps([call["name"], call["args"]], sort_keys=True).encode()).decode()


def asked(call):
    asked, body = Asked(), call.body
    for content in body["contents"]:
        parts = content["parts"]
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        asked.calls |= {made["id"]: made["args"] for made in calls}
        if content["role"] == "user":
            asked.said = "".join(part.get("text", "") for part in parts)
            results = [part["functionResponse"] for part in parts if "functionResponse" in part]
            asked.results = [(result["id"], result["response"]["output"]) for result in results]
    declared = [each for tool in body.get("tools", []) for each in tool["functionDeclarations"]]
    asked.tools = {each["name"]: each.get("parametersJsonSchema") or each["parameters"] for each in declared}
    asked.must_call = body.get("toolConfig", {}).get("functionCallingConfig", {}).get("mode") == "ANY"
    asked.schema = body.get("generationConfig", {}).get("responseJsonSchema")
    return asked


USAGE = {
    "promptTokenCount": 10, "candidatesTokenCount": 4, "thoughtsTokenCount": 3, "totalTokenCount": 17,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 10}],
}  # fmt: skip


def parts_of(said, model):
    """A part for each word or call; what proves the thoughts stands in the first call, or after the last word. Older models
    do not name their calls."""
    parts = [{"text": piece} for piece in said.pieces()]
    for index, (id, name, value) in enumerate(said.calls):
        made = {"functionCall": {"name": name, "args": value, **({"id": id} if is_third(model) else {})}}
        parts.append({**made, "thoughtSignature": signature(made["functionCall"])} if index == 0 else made)
    return parts if said.calls else [*parts, {"text": "", "thoughtSignature": base64.b64encode(b"words").decode()}]


def response(call, parts, finish=None):
    candidate = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    # Until it ends, what it used is not all known.
    usage = USAGE if finish else {"promptTokenCount": 10, "totalTokenCount": 10}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": call.model, "responseId": "Il0taoSYJ5Cez7IP"}


def whole(said, call):
    *parts, last = parts_of(said, call.model)
    text = [{"text": said.text}] if said.text else []
    return response(call, [*text, *(part for part in parts if "text" not in part), last], "STOP")


def frames(said, call):
    *parts, last = parts_of(said, call.model)
    for part in parts:
        yield event(response(call, [part]))
    yield event(response(call, [last], "STOP"))


def event(body):
    return f"data: {json.dumps(body)}\r\n\r\n".encode()


def embeddings(call):
    texts = [(request["content"]["parts"][0]["text"], request) for request in call.body["requests"]]
    return {"embeddings": [{"values": vector(text, request.get("outputDimensionality", 8))} for text, request in texts]}


STATUSES = {
    400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE",
}  # fmt: skip


def error(problem):
    message, wrong, details = problem.message, problem.wrong, []
    if wrong:
        unknown = f"Unknown name \"{wrong.unknown}\" at '{wrong.at}': Cannot find field."
        message = f"Invalid JSON payload received. {unknown}" if wrong.unknown else str(wrong)
        details = [{"fieldViolations": [{"field": wrong.at, "description": message}]}]
    if problem.after:
        details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{problem.after}s"}]
    said = {"code": problem.status, "message": message, "status": STATUSES.get(problem.status, "INTERNAL"), "details": details}
    return {}, {"error": said}


MODEL = "/v1beta/models/(?P<model>[^/:]+)"
VENDOR = Vendor(
    "x-goog-api-key",
    [
        Door(f"{MODEL}:generateContent", generate_check, asked, whole),
        Door(f"{MODEL}:streamGenerateContent\\?alt=sse", generate_check, asked, frames=frames),
        Door(f"{MODEL}:batchEmbedContents", embed_check, made=embeddings),
        Door(f"{MODEL}:countTokens", count_check, made=lambda call: {"totalTokens": 42}),
    ],
    error,
)
