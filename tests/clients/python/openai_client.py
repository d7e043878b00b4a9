"""OpenAI's SDK: chat completions, responses and embeddings."""

import asyncio
import json
import struct

import openai
import pydantic

from checks import (
    ANSWER, EMBEDDERS, KEY, LIMITED_KEY, MODELS, RESULTS, SAID, URL, WEATHER,
    abandon, check, expect, left, raises, run, special, token,
)  # fmt: skip

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
completions, responses = client.chat.completions, client.responses


class Seen(pydantic.BaseModel):
    city: str
    celsius: int


def user(text):
    return [{"role": "user", "content": text}]


@check("chat")
def chat(model):
    got = completions.create(model=model, messages=[{"role": "system", "content": "Be brief."}, *user(SAID)])
    expect(got.choices[0].message.content, ANSWER)
    expect((got.choices[0].finish_reason, got.usage.total_tokens), ("stop", 17))


@check("chat")
def chat_response(model):
    got = responses.create(model=model, instructions="Be brief.", input=SAID)
    expect((got.output_text, got.status, got.usage.total_tokens), (ANSWER, "completed", 17))


@check("chat")
def chat_azure(model):
    azure = openai.AzureOpenAI(azure_endpoint=URL, api_key=KEY, api_version="2024-10-21", max_retries=0)
    got = azure.chat.completions.create(model=model, messages=user(SAID))
    expect(got.choices[0].message.content, ANSWER)


@check("stream")
def stream(model):
    chunks = list(
        completions.create(model=model, messages=user(SAID), stream=True, stream_options={"include_usage": True})
    )
    expect("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), ANSWER)
    expect(chunks[-1].usage.total_tokens, 17)


@check("stream")
def stream_response(model):
    with responses.stream(model=model, input=SAID) as events:
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        expect((text, events.get_final_response().output_text), (ANSWER, ANSWER))


def finished(model, is_streamed, **asked):
    if not is_streamed:
        return completions.create(model=model, **asked).choices[0]
    with completions.stream(model=model, **asked) as events:
        for _ in events:
            pass
        return events.get_final_completion().choices[0]


# Gemini's older models do not name their calls.
@check("tools", [*MODELS, "gemini/gemini-2.5-flash"], [False, True])
def tools(model, is_streamed):
    tool = {"name": "weather", "description": "Of a city", "parameters": WEATHER, "strict": True}
    asked = {"tools": [{"type": "function", "function": tool}]}
    messages = user("How warm is it in Paris and Rome, signed?")
    first = finished(model, is_streamed, messages=messages, **asked)
    expect(first.finish_reason, "tool_calls")
    messages.append(first.message.to_dict())
    calls = [(call.id, json.loads(call.function.arguments)["city"]) for call in first.message.tool_calls]
    expect([city for _, city in calls], list(RESULTS))
    for id, city in reversed(calls):
        messages.append({"role": "tool", "tool_call_id": id, "content": RESULTS[city]})
    second = finished(model, is_streamed, messages=messages, **asked)
    expect(sorted(second.message.content.split("; ")), ["Paris: 21", "Rome: 28"])


@check("tools", MODELS, [False, True])
def tools_singly(model, is_streamed):
    tool = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
    asked = {"messages": user("How warm is it?"), "tools": [tool], "parallel_tool_calls": False}
    calls = finished(model, is_streamed, **asked).message.tool_calls
    expect([json.loads(call.function.arguments) for call in calls], [{"city": "Paris"}])


@check("tools")
def tools_response(model):
    asked = {"model": model, "tools": [{"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}]}
    first = responses.create(input="How warm is it, signed?", **asked)
    calls = [item for item in first.output if item.type == "function_call"]
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": RESULTS[json.loads(call.arguments)["city"]]}
        for call in calls
    ]
    history = [item.to_dict() for item in first.output]
    second = responses.create(input=[*user("How warm is it, signed?"), *history, *results], **asked)
    expect(second.output_text, "Paris: 21; Rome: 28")


@check("structured")
def structured(model):
    got = completions.parse(model=model, messages=user("Where?"), response_format=Seen)
    expect(got.choices[0].message.parsed, Seen(city="Paris", celsius=21))


@check("structured")
def structured_response(model):
    expect(responses.parse(model=model, input="Where?", text_format=Seen).output_parsed, Seen(city="Paris", celsius=21))


@check("embeddings", EMBEDDERS)
def embeddings(model):
    def vectors(**form):
        got = client.embeddings.create(model=model, input=["one", "another"], **form)
        return [struct.pack(f"{len(made.embedding)}f", *made.embedding) for made in got.data]

    # The SDK asks for base64 unless told otherwise: both are the same numbers.
    expect(vectors(), vectors(encoding_format="float"))
    expect(len(set(vectors())), 2)


@check("errors")
def errors(model):
    def ask(text="hi", asked=client, model=model):
        return lambda: asked.chat.completions.create(model=model, messages=user(text))

    raises(openai.AuthenticationError, ask(asked=client.with_options(api_key="sk-ms-wrong")), 401)
    raises(openai.NotFoundError, ask(model=f"{model}-not-there"), 404)
    raises(openai.BadRequestError, ask("status 400"), 400)
    limited = raises(openai.RateLimitError, ask(asked=client.with_options(api_key=LIMITED_KEY)), 429)
    assert int(limited.response.headers["retry-after"]) > 0
    throttled = raises(openai.RateLimitError, ask("status 429 after 90", model=special(model, "throttled")), 429)
    expect(throttled.response.headers["retry-after"], "90")
    raises(openai.InternalServerError, ask("status 503", model=special(model, "broken")), 503)


@check("errors")
def errors_cut(model):
    def read():
        return list(completions.create(model=special(model, "cut"), messages=user("cut here"), stream=True))

    raises(openai.APIError, read)


@check("abort")
def abort_stream(model):
    of = token(model)
    stream = completions.create(model=model, messages=user(f"forever {of}"), stream=True)
    next(chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content)
    stream.close()
    left(of)


@check("abort")
def abort_whole(model):
    of = token(model)

    async def leave():
        async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0) as client:
            await abandon(client.chat.completions.create(model=model, messages=user(f"forever {of}")), of)

    asyncio.run(leave())
    left(of)


run("openai (Python)", openai.__version__)
