"""What the clients in Python share: which models are asked, what the upstream answers, and one line of JSON a case."""

import asyncio
import itertools
import json
import os
import time
import traceback
import urllib.request

URL, TLS_URL = os.environ["MAINSTAY_URL"], os.environ["MAINSTAY_TLS_URL"]
KEY, LIMITED_KEY = os.environ["MAINSTAY_KEY"], os.environ["MAINSTAY_KEY_LIMITED"]
MODELS, EMBEDDERS, COUNTERS = (os.environ[name].split() for name in ("MODELS", "EMBEDDERS", "COUNTERS"))
SAID = "Grüße, 世界 👋"
ANSWER = f"You said: {SAID}"
RESULTS = {"Paris": "21", "Rome": "28"}
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
LEAVES_WITHIN_S = 1

checks = []


def check(capability, *choices):
    """A case for each combination of choices: the models, when none are given."""

    def remember(function):
        for chosen in itertools.product(*(choices or [MODELS])):
            checks.append((capability, function, chosen))
        return function

    return remember


def run(sdk, version):
    """All of them; ends with 0, as what failed stands in the lines."""
    for capability, function, chosen in checks:
        if capability not in os.environ.get("ONLY", capability):
            continue
        names = [getattr(choice, "__name__", str(choice)) for choice in chosen]
        line = {"client": f"{sdk} {version}", "capability": capability}
        line["case"] = " ".join([function.__name__, *names])
        began = time.monotonic()
        try:
            function(*chosen)
            line["ok"] = True
        except Exception:
            line |= {"ok": False, "why": traceback.format_exc(limit=-4)}
        print(json.dumps({**line, "seconds": round(time.monotonic() - began, 2)}), flush=True)


def expect(got, want):
    assert got == want, f"got {got!r:.500}, not {want!r:.500}"


def raises(kinds, call, *status):
    """The exception that `call` ends with."""
    try:
        got = call()
    except kinds as error:
        if status:
            expect(getattr(error, "status_code", None), *status)
        return error
    raise AssertionError(f"no error but {got!r}")


def special(model, what):
    """A model of the same provider that this client alone asks, as its breaker or quota will be shut."""
    return f"{model.split('/')[0]}/{what}-{os.environ['CLIENT']}"


def token(*of):
    return "-".join([os.environ["CLIENT"], *of, str(time.time_ns())]).replace("/", "-").replace(":", "-")


def happened(word, of):
    """Whether the provider's call has `begun`, or is `closed`; at once, when it has."""
    with urllib.request.urlopen(f"{os.environ['UPSTREAM_URL']}/{word}/{of}") as reply:
        return json.load(reply)[word]


async def abandon(asked, of):
    """Asks, and leaves when the provider has begun."""
    asking = asyncio.create_task(asked)
    assert await asyncio.to_thread(happened, "begun", of)
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()


def left(of):
    """The provider's call is closed soon after the client left."""
    began = time.monotonic()
    closed = happened("closed", of)
    took = time.monotonic() - began
    assert closed and took <= LEAVES_WITHIN_S, f"closed: {closed}, after {took:.2f} s"
