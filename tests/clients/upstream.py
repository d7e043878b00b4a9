"""The models behind Mainstay: they speak OpenAI's, Anthropic's and Bedrock's formats, and answer by what they are asked.

  a JSON schema            JSON that fits it
  tools                    one call of each, two at once of `weather`
  results of tools         `Paris: 21; Rome: 28`: each result beside what its call asked for
  status 429 after 7       that error, with `retry-after`
  cut                      a stream that breaks off
  forever TOKEN            words without end, or no answer at all where no stream is wanted;
                           `GET /closed/TOKEN` waits until the caller has left
  anything else            `You said: …`

Usage: upstream.py PORT KEY
"""

import json
import select
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from dialects import DIALECTS, Answer, answer, openai_embeddings, vector

KEY = sys.argv[2]
LEFT = {}  # token -> an event: the caller of that call has left
LEFT_MAX_S = 5


EXCEPTIONS = {400: "ValidationException", 429: "ThrottlingException", 503: "ServiceUnavailableException"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        token = self.path.removeprefix("/closed/")
        self.json(200, {"closed": token != self.path and left(token).wait(LEFT_MAX_S)})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path = unquote(self.path)
        if KEY not in (self.headers.get("x-api-key"), (self.headers.get("authorization") or "")[len("Bearer ") :]):
            return self.error(401, "not the provider's own key")
        if path.endswith("/embeddings"):
            return self.json(200, openai_embeddings(body))
        if path.endswith("/count_tokens"):
            return self.json(200, {"input_tokens": 42})
        if "inputText" in body:
            made = {"embedding": vector(body["inputText"], body.get("dimensions", 8)), "inputTextTokenCount": 3}
            return self.json(200, made)
        ending = path[path.rindex("/") :]
        read, whole, frames, kind = DIALECTS["/chat/completions" if ending == "/completions" else ending]
        asked = read(body)
        is_streamed = frames and (whole is None or body.get("stream", False))
        words = asked.said.split()
        if words[:1] == ["status"]:
            after = {"retry-after": words[3]} if words[2:3] == ["after"] else {}
            return self.error(int(words[1]), f"the model says {words[1]}", after)
        if words[:1] == ["forever"]:
            return self.forever(words[1], list(frames(Answer("more and more and more"), body)) if is_streamed else [], kind)
        if not is_streamed:
            return self.json(200, whole(answer(asked), body))
        self.begin(kind)
        pieces = list(frames(answer(asked), body))
        for piece in pieces[: 4 if words[:1] == ["cut"] else None]:
            self.chunk(piece)
        if words[:1] == ["cut"]:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def forever(self, token, pieces, kind):
        """The beginning of a stream, then its last word again and again until the caller has left; or nothing."""
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
        left(token).set()
        self.close_connection = True

    def error(self, status, message, headers=None):
        path = unquote(self.path)
        headers = headers or {}
        if path.endswith("/messages"):
            kind = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}
            body = {"type": "error", "error": {"type": kind.get(status, "api_error"), "message": message}}
        elif path.startswith("/model/"):
            headers["x-amzn-errortype"] = EXCEPTIONS.get(status, "AccessDeniedException")
            body = {"message": message}
        else:
            body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
        self.json(status, body, headers)

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


def left(token):
    with LOCK:
        return LEFT.setdefault(token, threading.Event())


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
