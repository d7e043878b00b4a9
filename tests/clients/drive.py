"""Starts the upstream and Mainstay before it, has every client play its cases, and prints client × capability."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
MAINSTAY = str(Path(os.environ["MAINSTAY"]).resolve())
NODE_FOLDER = Path(sys.argv[1])
SCRIPTS = {
    f"{path.stem.removesuffix('_client')}-{language}": path
    for language, paths in [("python", (HERE / "python").glob("*_client.py")), ("node", NODE_FOLDER.glob("*_client.mjs"))]
    for path in paths
}
CAPABILITIES = ["chat", "stream", "tools", "structured", "embeddings", "errors", "abort"]
# Who has no embeddings in its SDK; every other cell must have cases.
ABSENT = {("anthropic (Python)", "embeddings"), ("anthropic (Node)", "embeddings")}
# How each vendor is configured, and where the upstream has it.
PROVIDERS = {
    "openai": ("/openai/v1", 'kind = "openai"', "responses = true"),
    "anthropic": ("/anthropic", 'kind = "anthropic"'),
    "bedrock": ("/bedrock", 'kind = "bedrock"', 'aws = { region = "eu-central-1" }'),
    "gemini": ("/gemini/v1beta", 'kind = "gemini"'),
    "azure": ("/azure", 'kind = "azure"'),
    "azure-dated": ("/azure", 'kind = "azure"', 'api_version = "2024-10-21"'),
}
# What a vendor does not have itself; every other one is asked for it.
LACKS = {"openai": ["counts"], "azure": ["counts"], "azure-dated": ["counts"], "anthropic": ["embeddings"]}
MODELS = [
    "openai/gpt-5-mini", "anthropic/claude-haiku-4-5-20251001", "bedrock/anthropic.claude-haiku-4-5-20251001-v1:0",
    "gemini/gemini-3-flash-preview", "azure/my-gpt", "azure-dated/my-gpt",
]  # fmt: skip
EMBEDDERS = [
    "embedded/all-minilm-l6-v2", "openai/text-embedding-3-small", "bedrock/amazon.titan-embed-text-v2:0",
    "gemini/gemini-embedding-001", "azure/my-embeddings", "azure-dated/my-embeddings",
]  # fmt: skip
COUNTERS = [model for model in MODELS if "counts" not in LACKS.get(model.split("/")[0], [])]
# Whom single cases ask, too.
OTHERS = ["bedrock/amazon.nova-lite-v1:0", "gemini/gemini-2.5-flash"]
CLIENT_MAX_S = 120
AT_ONCE = 3

CONFIG = """
schema = 1
[server]
listen = "127.0.0.1:{port}"
[server.tls]
listen = "127.0.0.1:{tls_port}"
certificate = "{work}/tls.crt"
key = "file::{work}/tls.key"
[records]
durability = "async"
[embedded]
model = "smollm2-135m"
[defaults]
agent = "general"
[limits.key]
rate = "unlimited"
[limits.tenants.limited]
rate = "1/h"
burst = 1
{providers}
{models}
[[routes.standard.tiers]]
name = "primary"
targets = [{{ model = "openai/gpt-5-mini" }}]
"""


def main():
    # The one that takes longest first.
    chosen = sys.argv[2:] or sorted(SCRIPTS, key=lambda name: (not name.startswith("langchain"), name))
    with tempfile.TemporaryDirectory() as folder:
        work, ports = Path(folder), free_ports(3)
        # Nothing of whoever runs this: no keys, no profiles, no proxies.
        environment = {name: os.environ[name] for name in ("PATH", "LANG", "ONLY") if name in os.environ}
        environment |= {"HOME": folder, "UPSTREAM_KEY": "upstream-key", "PYTHONDONTWRITEBYTECODE": "1"}
        prepare(work, ports)
        port, tls_port, upstream_port = ports
        log, play_upstream = work / "mainstay.log", [sys.executable, HERE / "upstream.py", upstream_port, "upstream-key"]
        upstream = start(play_upstream, work / "upstream.log", environment)
        serve = [MAINSTAY, "--log", "warn", "serve", "--config", work / "config", "--data", work / "data"]
        server = start(serve, log, environment)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(f"{url}/health/ready", server, log)
            environment |= {
                "MAINSTAY_URL": url,
                "MAINSTAY_TLS_URL": f"https://localhost:{tls_port}",
                "UPSTREAM_URL": f"http://127.0.0.1:{upstream_port}",
                "MODELS": " ".join(MODELS),
                "EMBEDDERS": " ".join(EMBEDDERS),
                "COUNTERS": " ".join(COUNTERS),
                **dict.fromkeys(["SSL_CERT_FILE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"], str(work / "tls.crt")),
                **keys(url),
            }
            with ThreadPoolExecutor(AT_ONCE) as pool:
                played = list(pool.map(lambda name: play(name, environment), chosen))
        finally:
            for process in (server, upstream):
                process.terminate()
                process.wait()
        wrong = [line for lines in played for line in lines if not line["ok"]]
        if wrong:
            print(log.read_text()[-4000:], (work / "upstream.log").read_text()[-4000:])
    for line in wrong:
        print(f"{line['client']}: {line['case']}\n{line['why']}")
    sys.exit(0 if table(played) and not wrong else "some clients failed")


def prepare(work, ports):
    asked = [*MODELS, *EMBEDDERS, *OTHERS]
    for name in PROVIDERS:
        has = any(model.startswith(f"{name}/") for model in EMBEDDERS)
        assert has != ("embeddings" in LACKS.get(name, [])), f"are there embeddings of {name}?"
    models = [model for model in asked if not model.startswith("embedded/")]
    # What shuts breakers and quotas is asked from models that each client has for itself.
    models += [
        f"{model.split('/')[0]}/{what}-{name}"
        for model in MODELS for name in SCRIPTS for what in ("throttled", "broken", "cut")
    ]  # fmt: skip
    sections = "\n".join(f'[models."{model}"]' for model in models)
    port, tls_port, upstream_port = ports
    providers = "\n".join(
        f'[providers.{name}]\nbase_url = "http://127.0.0.1:{upstream_port}{path}"\nkey = "env::UPSTREAM_KEY"\n'
        "allow_private = true\n" + "\n".join(lines)
        for name, (path, *lines) in PROVIDERS.items()
    )
    subprocess.run([MAINSTAY, "init", work / "config"], check=True, stdout=subprocess.DEVNULL)
    text = CONFIG.format(port=port, tls_port=tls_port, work=work, providers=providers, models=sections)
    (work / "config" / "mainstay.toml").write_text(text)
    # Its articles would be read and indexed first, for agents that nobody asks here.
    for agent in (work / "config" / "agents").glob("*/agent.toml"):
        agent.write_text(agent.read_text().replace('["finance"]', "[]"))
    (work / "data").mkdir()
    (work / "data" / "models").symlink_to(Path(os.environ["MAINSTAY_TEST_MODELS"]).resolve())
    certificate = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    certificate += " -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout tls.key -out tls.crt"
    subprocess.run(certificate.split(), cwd=work, check=True, stderr=subprocess.DEVNULL)


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(command, log, environment):
    command = [str(part) for part in command]
    return subprocess.Popen(command, env=environment, stdout=log.open("w"), stderr=subprocess.STDOUT)


def wait_for(url, server, log):
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            return urllib.request.urlopen(url).close()
        except OSError:
            time.sleep(0.05)
    sys.exit(f"Mainstay did not start:\n{log.read_text()}")


def keys(url):
    """An owner's key with its pair for AWS's SDKs, and a key that has asked all that it may in this hour."""
    owner = post(url, "/admin/v1/keys", {"name": "clients", "role": "owner"})
    key = owner["key"]
    limited = post(url, "/admin/v1/keys", {"name": "limited", "tenant": "limited"}, key)["key"]
    question = {"model": MODELS[0], "messages": [{"role": "user", "content": "the one that is free"}]}
    post(url, "/v1/chat/completions", question, limited)
    return {
        "MAINSTAY_KEY": key,
        "MAINSTAY_KEY_LIMITED": limited,
        "AWS_ACCESS_KEY_ID": owner["aws"]["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": owner["aws"]["secret_access_key"],
    }


def post(url, path, body, key=None):
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def play(name, environment):
    """The cases of one client, a line each. One that dies, or takes too long, is a failed case."""
    script = SCRIPTS[name]
    command = ["node" if script.suffix == ".mjs" else sys.executable, str(script)]
    environment = environment | {"CLIENT": name}
    began = time.monotonic()
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CLIENT_MAX_S)
        lines, failure = done.stdout.splitlines(), done.stderr if done.returncode else None
    except subprocess.TimeoutExpired as error:
        lines, failure = (error.stdout or b"").decode().splitlines(), f"not done after {CLIENT_MAX_S} s"
    cases = [json.loads(line) for line in lines if line.startswith("{")]
    if failure is not None or not cases:
        client = cases[0]["client"] if cases else name
        cases.append({"client": client, "capability": "-", "case": "to the end", "ok": False, "why": failure})
    print(f"{name}: {len(cases)} cases in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return cases


def table(played):
    """Prints how many cases of each kind passed; whether every client has cases of every kind that its SDK has."""
    is_whole = True
    print(f"{'':26}" + "".join(f"{capability:>12}" for capability in CAPABILITIES))
    for cases in played:
        client = cases[0]["client"]
        cells = []
        for capability in CAPABILITIES:
            of = [case["ok"] for case in cases if case["capability"] == capability]
            if not of and (client.rsplit(" ", 1)[0], capability) not in ABSENT and "ONLY" not in os.environ:
                is_whole = False
            cells.append(f"{sum(of)}/{len(of)}" if of else "none")
        print(f"{client:26}" + "".join(f"{cell:>12}" for cell in cells))
    return is_whole


main()
