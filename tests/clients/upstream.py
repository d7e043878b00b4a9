"""The models behind Mainstay: each vendor at `/NAME`, in its own words (`vendors/NAME.py`). They answer by what they are asked,
and refuse, as the vendor does, what is not said as its interface demands.

  a JSON schema            JSON that fits it
  tools                    one call of each, two at once of `weather`
  results of tools         `Paris: 21; Rome: 28`: each result beside what its call asked for; of a question that says `signed`
                           each call must come back with the signature that it came with, where the vendor has any
  status 429 after 7       that error, with `retry-after`
  cut                      a stream that breaks off
  forever TOKEN            words without end, or no answer at all where no stream is wanted;
                           `GET /begun/TOKEN` waits until it is asked, `GET /closed/TOKEN` until the caller has left
  anything else            `You said: …`

Usage: upstream.py PORT KEY
"""

import json
import re
import select
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from vendors import anthropic, azure, bedrock, gemini, openai
from vendors.asked import Answer, answer
from vendors.shape import Wrong, check
from vendors.vendor import Call, Problem

VENDORS = {"openai": openai, "anthropic": anthropic, "bedrock": bedrock, "gemini": gemini, "azure": azure}
VENDORS = {name: module.VENDOR for name, module in VENDORS.items()}
# Where keys stand: a vendor is shown its own, and never the caller's.
CREDENTIALS = {vendor.key for vendor in VENDORS.values()} | {"x-amz-security-token", "cookie"}
KEY = sys.argv[2]
EVENTS = {}  # (word, token) -> an event: that call has `begun`, or is `closed`
EVENT_MAX_S = 5


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        _, word, token = self.path.split("/")
        self.json(200, {word: event(word, token).wait(EVENT_MAX_S)})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name, _, path = unquote(self.path).removeprefix("/").partition("/")
        self.vendor = VENDORS[name]
        door, found = self.door(f"/{path}")
        if not self.is_known():
            return self.refuse(Problem(401, "not the provider's own key"))
        if not door:
            return self.refuse(Problem(404, f"nothing is at /{path}"))
        call = Call(body, found.get("model") or body.get("model") or "")
        try:
            self.said_all()
            door.check(call)
        except Wrong as wrong:
            return self.refuse(Problem(400, str(wrong), wrong=wrong))
        if door.made:
            return self.json(200, door.made(call))
        self.chat(door, call)

    def door(self, path):
        for door in self.vendor.doors:
            if found := re.fullmatch(door.path, path):
                return door, found.groupdict()
        return None, {}

    def is_known(self):
        shown = {name: self.headers[name] for name in CREDENTIALS if name in self.headers}
        return shown == {self.vendor.key: f"Bearer {KEY}" if self.vendor.key == "authorization" else KEY}

    def said_all(self):
        for name, form in {"content-type": {"application/json"}, **self.vendor.headers}.items():
            check(self.headers.get(name), form, f"the header {name}")

    def chat(self, door, call):
        asked = door.read(call)
        is_streamed = door.is_streamed(call)
        words = asked.said.split()
        if words[:1] == ["status"]:
            return self.refuse(Problem(int(words[1]), f"the model says {words[1]}", words[3] if words[2:3] == ["after"] else None))
        if words[:1] == ["forever"]:
            pieces = list(door.frames(Answer("more and more and more"), call)) if is_streamed else []
            return self.forever(words[1], pieces, door.kind)
        if not is_streamed:
            return self.json(200, door.whole(answer(asked), call))
        self.begin(door.kind)
        pieces = list(door.frames(answer(asked), call))
        for piece in pieces[: 4 if words[:1] == ["cut"] else None]:
            self.chunk(piece)
        if words[:1] == ["cut"]:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def forever(self, token, pieces, kind):
        """The beginning of a stream, then its last word again and again until the caller has left; or nothing."""
        event("begun", token).set()
        try:
            if pieces:
                self.begin(kind)
            for piece in pieces[:5]:
                self.chunk(piece)
            while not select.select([self.connection], [], [], 0.02)[0]:
                if pieces:
                    self.chunk(pieces[4])
        except OSError:
            pass
        event("closed", token).set()
        self.close_connection = True

    def refuse(self, problem):
        if problem.wrong or problem.status in (401, 404):
            print(f"{self.path}: {problem.status}, {problem.message}", file=sys.stderr, flush=True)
        headers, body = self.vendor.error(problem)
        self.json(problem.status, body, headers)

    def json(self, status, body, headers=None):
        text = json.dumps(body).encode()
        self.send_response(status)
        all_headers = {"content-type": "application/json", "content-length": len(text), **(headers or {})}
        for name, value in all_headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(text)

    def begin(self, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def chunk(self, piece):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        time.sleep(0.001)


LOCK = threading.Lock()


def event(word, token):
    with LOCK:
        return EVENTS.setdefault((word, token), threading.Event())


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
