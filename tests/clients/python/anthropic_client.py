"""Anthropic's SDK: messages and count_tokens."""

import asyncio

import anthropic
import pydantic

from checks import (
    ANSWER, COUNTERS, KEY, LIMITED_KEY, MODELS, RESULTS, SAID, URL, WEATHER,
    abandon, check, expect, left, raises, run, special, token,
)  # fmt: skip

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)


class Seen(pydantic.BaseModel):
    city: str
    celsius: int


def asking(model, text):
    return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": text}]}


@check("chat")
def chat(model):
    got = client.messages.create(system="Be brief.", **asking(model, SAID))
    expect((got.content[0].text, got.stop_reason, got.usage.output_tokens), (ANSWER, "end_turn", 7))


@check("chat", COUNTERS)
def count_tokens(model):
    expect(client.messages.count_tokens(model=model, messages=asking(model, SAID)["messages"]).input_tokens, 42)


def bedrock():
    """The same SDK at Bedrock's door, signed by the pair in the environment."""
    return anthropic.AnthropicBedrock(base_url=URL, aws_region="eu-central-1", max_retries=0)


@check("chat")
def chat_bedrock(model):
    expect(bedrock().messages.create(**asking(model, SAID)).content[0].text, ANSWER)


@check("stream")
def stream_bedrock(model):
    events = bedrock().messages.create(stream=True, **asking(model, SAID))
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    expect("".join(delta.text for delta in deltas if delta.type == "text_delta"), ANSWER)


@check("stream")
def stream(model):
    with client.messages.stream(**asking(model, SAID)) as events:
        expect("".join(events.text_stream), ANSWER)
        got = events.get_final_message()
    expect((got.stop_reason, got.usage.output_tokens), ("end_turn", 7))


def finished(is_streamed, asked):
    if not is_streamed:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as events:
        return events.get_final_message()


@check("tools", MODELS, [False, True])
def tools(model, is_streamed):
    asked = asking(model, "How warm is it in Paris and Rome, signed?")
    asked["tools"] = [{"name": "weather", "description": "Of a city", "input_schema": WEATHER}]
    first = finished(is_streamed, asked)
    expect(first.stop_reason, "tool_use")
    calls = [block for block in first.content if block.type == "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": RESULTS[call.input["city"]]} for call in calls
    ]
    asked["messages"] += [
        {"role": "assistant", "content": [block.to_dict() for block in first.content]},
        {"role": "user", "content": results},
    ]
    expect(finished(is_streamed, asked).content[0].text, "Paris: 21; Rome: 28")


@check("structured")
def structured(model):
    got = client.messages.parse(output_format=Seen, **asking(model, "Where?"))
    expect(got.parsed_output, Seen(city="Paris", celsius=21))


@check("errors")
def errors(model):
    def ask(text="hi", asked=client, model=model):
        return lambda: asked.messages.create(**asking(model, text))

    raises(anthropic.AuthenticationError, ask(asked=client.with_options(api_key="sk-ms-wrong")), 401)
    raises(anthropic.NotFoundError, ask(model=f"{model}-not-there"), 404)
    raises(anthropic.BadRequestError, ask("status 400"), 400)
    limited = raises(anthropic.RateLimitError, ask(asked=client.with_options(api_key=LIMITED_KEY)), 429)
    assert int(limited.response.headers["retry-after"]) > 0
    throttled = raises(anthropic.RateLimitError, ask("status 429 after 90", model=special(model, "throttled")), 429)
    expect(throttled.response.headers["retry-after"], "90")
    raises(anthropic.InternalServerError, ask("status 503", model=special(model, "broken")))


@check("errors")
def errors_cut(model):
    def read():
        with client.messages.stream(**asking(special(model, "cut"), "cut here")) as events:
            return events.get_final_message()

    raises(anthropic.APIError, read)


@check("abort")
def abort_stream(model):
    of = token(model)
    with client.messages.stream(**asking(model, f"forever {of}")) as events:
        next(iter(events.text_stream))
    left(of)


@check("abort")
def abort_whole(model):
    of = token(model)

    async def leave():
        async with anthropic.AsyncAnthropic(base_url=URL, api_key=KEY, max_retries=0) as client:
            await abandon(client.messages.create(**asking(model, f"forever {of}")), of)

    asyncio.run(leave())
    left(of)


run("anthropic (Python)", anthropic.__version__)
