"""AWS's SDK: Converse, ConverseStream, InvokeModel and its stream; signed over http, and with a key over TLS."""

import json
import os
import unittest.mock

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError, ReadTimeoutError

from checks import (
    ANSWER, KEY, LIMITED_KEY, MODELS, RESULTS, SAID, TLS_URL, URL, WEATHER,
    check, expect, left, raises, run, special, token,
)  # fmt: skip

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "celsius": {"type": "integer"}},
    "required": ["city", "celsius"],
    "additionalProperties": False,
}


def connect(url, key=None, **config):
    """With a key of ours, or signed by the pair in the environment."""
    # Read when a client is made; that there is one, with each request.
    os.environ["AWS_BEARER_TOKEN_BEDROCK"] = key or "unused"
    scheme = "httpBearerAuth" if key else "sigv4"
    config = Config(retries={"total_max_attempts": 1}, auth_scheme_preference=scheme, **config)
    return boto3.Session(region_name="eu-central-1").client("bedrock-runtime", endpoint_url=url, config=config)


signed, bearer = connect(URL), connect(TLS_URL, KEY)


def over_http_signed():
    return signed


def over_tls_with_key():
    return bearer


CONNECTIONS = [over_http_signed, over_tls_with_key]


def asking(model, text):
    return {"modelId": model, "messages": [{"role": "user", "content": [{"text": text}]}]}


def texts(content):
    """What is said: models that think show the proof of that beside it."""
    return [block["text"] for block in content if "text" in block]


@check("chat", CONNECTIONS, MODELS)
def chat(connection, model):
    got = connection().converse(system=[{"text": "Be brief."}], **asking(model, SAID))
    expect(texts(got["output"]["message"]["content"]), [ANSWER])
    expect((got["stopReason"], got["usage"]["totalTokens"]), ("end_turn", 17))


@check("chat", CONNECTIONS, ["amazon.nova-lite-v1:0", "arn:aws:bedrock:eu-central-1::foundation-model/amazon.nova-lite-v1:0"])
def chat_by_id(connection, model):
    expect(connection().converse(**asking(model, SAID))["stopReason"], "end_turn")


def claude(text):
    messages = [{"role": "user", "content": text}]
    return json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": messages})


@check("chat", CONNECTIONS, MODELS)
def chat_invoked(connection, model):
    got = connection().invoke_model(modelId=model, body=claude(SAID))
    expect(texts(json.loads(got["body"].read())["content"]), [ANSWER])


def streamed(events):
    """Blocks of content, and how the stream ended."""
    blocks, stop, usage = {}, None, None
    for event in events:
        if start := event.get("contentBlockStart"):
            blocks[start["contentBlockIndex"]] = {"toolUse": {**start["start"]["toolUse"], "input": ""}}
        if delta := event.get("contentBlockDelta"):
            grow(blocks.setdefault(delta["contentBlockIndex"], {}), delta["delta"])
        stop = event.get("messageStop", {}).get("stopReason", stop)
        usage = event.get("metadata", {}).get("usage", usage)
    for block in blocks.values():
        if use := block.get("toolUse"):
            use["input"] = json.loads(use["input"])
    return list(blocks.values()), stop, usage


def grow(block, delta):
    """Adds a piece of a stream to its block of content."""
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    if "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    for name, more in delta.get("reasoningContent", {}).items():
        thought = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})["reasoningText"]
        thought[name] = thought.get(name, "") + more


@check("stream", CONNECTIONS, MODELS)
def stream(connection, model):
    content, stop, usage = streamed(connection().converse_stream(**asking(model, SAID))["stream"])
    expect((texts(content), stop, usage["totalTokens"]), ([ANSWER], "end_turn", 17))


@check("stream", CONNECTIONS, MODELS)
def stream_invoked(connection, model):
    got = connection().invoke_model_with_response_stream(modelId=model, body=claude(SAID))
    events = [json.loads(event["chunk"]["bytes"]) for event in got["body"]]
    expect("".join(event.get("delta", {}).get("text", "") for event in events), ANSWER)
    expect(events[-1]["type"], "message_stop")


@check("tools", CONNECTIONS, MODELS, [False, True])
def tools(connection, model, is_streamed):
    def finished():
        if is_streamed:
            return streamed(connection().converse_stream(**asked)["stream"])[:2]
        got = connection().converse(**asked)
        return got["output"]["message"]["content"], got["stopReason"]

    asked = asking(model, "How warm is it in Paris and Rome, signed?")
    spec = {"name": "weather", "description": "Of a city", "inputSchema": {"json": WEATHER}}
    asked["toolConfig"] = {"tools": [{"toolSpec": spec}]}
    content, stop = finished()
    expect(stop, "tool_use")
    uses = [block["toolUse"] for block in content if "toolUse" in block]
    results = [
        {"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": RESULTS[use["input"]["city"]]}]}}
        for use in uses
    ]
    asked["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
    expect(texts(finished()[0]), ["Paris: 21; Rome: 28"])


@check("structured", CONNECTIONS, MODELS)
def structured(connection, model):
    form = {"type": "json_schema", "structure": {"jsonSchema": {"schema": json.dumps(SCHEMA), "name": "seen"}}}
    got = connection().converse(outputConfig={"textFormat": form}, **asking(model, "Where?"))
    expect(json.loads(got["output"]["message"]["content"][0]["text"]), {"city": "Paris", "celsius": 21})


@check("embeddings", CONNECTIONS, ["bedrock/amazon.titan-embed-text-v2:0"])
def embeddings(connection, model):
    got = connection().invoke_model(modelId=model, body=json.dumps({"inputText": "one", "dimensions": 256}))
    expect(len(json.loads(got["body"].read())["embedding"]), 256)


def status(error):
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


@check("errors", MODELS)
def errors(model):
    kinds = signed.exceptions

    def ask(text="hi", asked=signed, model=model):
        return lambda: asked.converse(**asking(model, text))

    denied = raises(ClientError, ask(asked=connect(TLS_URL, "sk-ms-wrong")))
    expect((denied.response["Error"]["Code"], status(denied)), ("UnrecognizedClientException", 403))
    expect(status(raises(kinds.ResourceNotFoundException, ask(model=f"{model}-not-there"))), 404)
    expect(status(raises(kinds.ValidationException, ask("status 400"))), 400)
    limited = connect(TLS_URL, LIMITED_KEY)
    headers = raises(limited.exceptions.ThrottlingException, ask(asked=limited)).response["ResponseMetadata"]
    assert int(headers["HTTPHeaders"]["retry-after"]) > 0
    throttled = raises(kinds.ThrottlingException, ask("status 429 after 90", model=special(model, "throttled")))
    expect(throttled.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"], "90")
    raises(kinds.ServiceUnavailableException, ask("status 503", model=special(model, "broken")))


@check("errors", MODELS)
def errors_signature(model):
    with unittest.mock.patch.dict(os.environ, AWS_SECRET_ACCESS_KEY="wrong"):
        wrong = connect(URL)
        denied = raises(ClientError, lambda: wrong.converse(**asking(model, "hi")))
    expect((denied.response["Error"]["Code"], status(denied)), ("InvalidSignatureException", 403))


@check("errors", MODELS)
def errors_cut(model):
    def read():
        return streamed(signed.converse_stream(**asking(special(model, "cut"), "cut here"))["stream"])

    raises(EventStreamError, read)


@check("abort", CONNECTIONS, MODELS)
def abort_stream(connection, model):
    of = token(model)
    events = connection().converse_stream(**asking(model, f"forever {of}"))["stream"]
    next(event for event in events if "contentBlockDelta" in event)
    events.close()
    left(of)


@check("abort", MODELS)
def abort_whole(model):
    of = token(model)
    hasty = connect(URL, read_timeout=0.3)
    raises(ReadTimeoutError, lambda: hasty.converse(**asking(model, f"forever {of}")))
    left(of)


run("boto3", boto3.__version__)
