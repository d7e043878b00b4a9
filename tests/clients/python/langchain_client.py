"""LangChain's models of OpenAI, Anthropic and Bedrock."""

import os

import langchain_core
import pydantic
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from langchain_anthropic import ChatAnthropic
from langchain_aws import BedrockEmbeddings, ChatBedrockConverse
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
import anthropic
import openai

from checks import (
    ANSWER, EMBEDDERS, KEY, LIMITED_KEY, MODELS, RESULTS, SAID, TLS_URL, URL,
    check, expect, left, raises, run, special, token,
)  # fmt: skip


class Seen(pydantic.BaseModel):
    """What is seen."""

    city: str
    celsius: int


@tool
def weather(city: str) -> str:
    """Of a city."""
    return RESULTS[city]


# Each class, as the cases need it: how it is connected, and its SDK's errors without a key, without a model, ….


def ChatGPT(model, key=KEY):
    return ChatOpenAI(model=model, base_url=f"{URL}/v1", api_key=key, max_retries=0, stream_usage=True)


def ChatGPTResponses(model, key=KEY):
    return ChatOpenAI(model=model, base_url=f"{URL}/v1", api_key=key, max_retries=0, use_responses_api=True)


def ChatClaude(model, key=KEY):
    return ChatAnthropic(model=model, base_url=URL, api_key=key, max_retries=0, max_tokens=100)


def ChatBedrock(model, key=KEY):
    os.environ["AWS_BEARER_TOKEN_BEDROCK"] = key
    once = Config(retries={"total_max_attempts": 1})
    # Who streams, and what may be asked of tools, it concludes from the names of Bedrock's own models.
    asked = {"provider": "anthropic", "disable_streaming": False, "supports_tool_choice_values": ("auto", "any", "tool")}
    return ChatBedrockConverse(model=model, region_name="eu-central-1", base_url=TLS_URL, config=once, **asked)


CHATS = [ChatGPT, ChatGPTResponses, ChatClaude, ChatBedrock]
# Without a key, without a model, with a bad request, with too many, with a stream that breaks off.
ERRORS = {
    ChatGPT: [openai.AuthenticationError, openai.NotFoundError, openai.BadRequestError, openai.RateLimitError, openai.APIError],
    ChatClaude: [
        anthropic.AuthenticationError, anthropic.NotFoundError, anthropic.BadRequestError, anthropic.RateLimitError,
        anthropic.APIError,
    ],
    ChatBedrock: [ClientError, ClientError, ClientError, ClientError, EventStreamError],
}  # fmt: skip
ERRORS[ChatGPTResponses] = ERRORS[ChatGPT]


@check("chat", CHATS, MODELS)
def chat(connect, model):
    got = connect(model).invoke([SystemMessage("Be brief."), HumanMessage(SAID)])
    expect((got.text, got.usage_metadata["total_tokens"]), (ANSWER, 17))


@check("stream", CHATS, MODELS)
def stream(connect, model):
    pieces = list(connect(model).stream(SAID))
    expect("".join(piece.text for piece in pieces), ANSWER)
    whole = sum(pieces[1:], pieces[0])
    expect(whole.usage_metadata["total_tokens"], 17)


@check("tools", CHATS, MODELS, [False, True])
def tools(connect, model, is_streamed):
    def finished():
        if not is_streamed:
            return asked.invoke(messages)
        pieces = list(asked.stream(messages))
        return sum(pieces[1:], pieces[0])

    asked = connect(model).bind_tools([weather])
    messages = [HumanMessage("How warm is it in Paris and Rome?")]
    first = finished()
    expect([call["args"]["city"] for call in first.tool_calls], list(RESULTS))
    messages += [first, *(weather.invoke(call) for call in first.tool_calls)]
    assert isinstance(messages[-1], ToolMessage)
    expect(finished().text, "Paris: 21; Rome: 28")


@check("structured", CHATS, MODELS, ["json_schema", "function_calling"])
def structured(connect, model, method):
    got = connect(model).with_structured_output(Seen, method=method).invoke("Where?")
    expect(got, Seen(city="Paris", celsius=21))


@check("embeddings", EMBEDDERS)
def embeddings(model):
    # Lists of tokens, its default, are for OpenAI's own models.
    made = OpenAIEmbeddings(model=model, base_url=f"{URL}/v1", api_key=KEY, check_embedding_ctx_length=False)
    one, another = made.embed_documents(["one", "another"])
    expect(made.embed_query("one"), one)
    assert one != another


@check("embeddings", ["bedrock/amazon.titan-embed-text-v2:0"])
def embeddings_bedrock(model):
    os.environ["AWS_BEARER_TOKEN_BEDROCK"] = KEY
    made = BedrockEmbeddings(model_id=model, provider="amazon", region_name="eu-central-1", endpoint_url=TLS_URL)
    expect(made.embed_query("one"), made.embed_documents(["one", "another"])[0])


@check("errors", CHATS, MODELS)
def errors(connect, model):
    no_key, no_model, bad, too_many, broken = ERRORS[connect]
    raises(no_key, lambda: connect(model, key="sk-ms-wrong").invoke("hi"))
    raises(no_model, lambda: connect(f"{model}-not-there").invoke("hi"))
    raises(bad, lambda: connect(model).invoke("status 400"))
    raises(too_many, lambda: connect(model, key=LIMITED_KEY).invoke("hi"))
    raises(broken, lambda: list(connect(special(model, "cut")).stream("cut here")))


@check("abort", CHATS, MODELS)
def abort(connect, model):
    of = token(connect.__name__, model)
    pieces = connect(model).stream(f"forever {of}")
    next(piece for piece in pieces if piece.text)
    pieces.close()
    left(of)


run("LangChain (Python)", langchain_core.__version__)
