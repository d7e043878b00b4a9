"""Azure OpenAI (learn.microsoft.com/azure/ai-foundry/openai): OpenAI's forms at a resource's deployments, dated and since
`/openai/v1`, with what its content filter found beside the words."""

from . import openai
from .vendor import Door, Vendor, after

SAFE = {"filtered": False, "severity": "safe"}
FOUND = {kind: SAFE for kind in ("hate", "self_harm", "sexual", "violence")}
OF_PROMPT = [{"prompt_index": 0, "content_filter_results": {**FOUND, "jailbreak": {"filtered": False, "detected": False}}}]


def whole(said, call):
    answer = openai.chat_whole(said, call)
    choices = [{**choice, "content_filter_results": FOUND if said.text else {}} for choice in answer["choices"]]
    return {**answer, "choices": choices, "prompt_filter_results": OF_PROMPT, "system_fingerprint": "fp_1"}


def chunks(said, call):
    # Before the first word stands what was found in the question, of an answer that has not begun.
    yield {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": OF_PROMPT}
    for chunk in openai.chat_chunks(said, call):
        choices = [
            {**choice, "content_filter_results": FOUND if choice["delta"].get("content") else {}} for choice in chunk["choices"]
        ]
        yield {**chunk, "choices": choices, "system_fingerprint": "fp_1"}


WORDS = {
    401: "Access denied due to invalid subscription key or wrong API endpoint.",
    404: "Resource not found",
}


def error(problem):
    if problem.wrong or problem.status == 400:
        return openai.error(problem)
    said = {"code": str(problem.status), "message": WORDS.get(problem.status, problem.message)}
    return after(problem), {"error": said}


def doors(at, query, chat):
    return [
        Door(f"{at}/chat/completions{query}", openai.chat_check(chat), openai.chat_asked, whole, openai.frames(chunks)),
        Door(f"{at}/embeddings{query}", openai.form_check(openai.EMBEDDINGS), made=openai.embeddings),
    ]


VENDOR = Vendor(
    "api-key",
    [
        *doors("/openai/deployments/(?P<model>[^/]+)", r"\?api-version=2024-10-21", openai.CHAT),
        *doors("/openai/v1", "", openai.CHAT_NOW),
    ],
    error,
)
