"""What the upstream knows of each vendor: its doors, where its key stands, and how it says no."""

from collections.abc import Callable
from dataclasses import dataclass, field

SSE, EVENTS = "text/event-stream", "application/vnd.amazon.eventstream"


@dataclass(frozen=True)
class Call:
    body: dict
    model: str = ""


@dataclass(frozen=True)
class Door:
    """One call of an interface."""

    # All of the path, and the query; the group `model` where that says which one is asked.
    path: str
    # Raises `Wrong` for a call that the vendor refuses.
    check: Callable = lambda call: None
    # A chat: how it is read, and answered in one piece and in a stream.
    read: Callable | None = None
    whole: Callable | None = None
    frames: Callable | None = None
    kind: str = SSE
    # All else: what it is answered.
    made: Callable | None = None

    def is_streamed(self, call):
        return self.frames is not None and (self.whole is None or call.body.get("stream", False))


@dataclass(frozen=True)
class Problem:
    status: int
    message: str
    after: str | None = None  # how many seconds to wait
    wrong: Exception | None = None


@dataclass(frozen=True)
class Vendor:
    key: str  # the header that its key stands in
    doors: list
    # What a `Problem` is answered: headers and body.
    error: Callable = None
    headers: dict = field(default_factory=dict)  # what each call must say beside its key: names and forms


def after(problem):
    return {"retry-after": problem.after} if problem.after else {}
