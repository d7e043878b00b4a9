"""Counts sampled stacks by layer. Usage: layers.py STACKS LINES

STACKS is the output of `perf script -F comm,ip,sym`, LINES one line of `bench-load closed` with the CPU of a request.
"""

import collections
import json
import re
import sys

# The first layer that a frame names counts, from the innermost frame outwards; what names none goes to its caller.
FRAMES = [
    ("records: SQLite and its writer", r"sqlite3|rusqlite|^store::|<store::"),
    ("dialect: reading and patching bodies", r"\bwire::|\bserde_json::|serde_core::"),
    ("provider", r"\bproviders::"),
    ("hashing", r"\bsha2::"),
    ("calls: connections to providers", r"\boutbound::|hyper::client|h1::dispatch::Client"),
    ("routing, breakers, bulkheads, budgets", r"\brouting::|\bresilience::"),
    ("the path and its record", r"\bpipeline::|domain::interaction"),
    ("configuration", r"\bregistry::"),
    ("the door: limits, headers, metrics", r"\bapi::"),
    ("logging", r"\btracing"),
    ("routes of the server", r"\baxum|\btower|matchit"),
    ("HTTP/1 parsing and writing", r"\bhyper|\bhttp::|httparse"),
]
# A system call is counted by what it is for.
CALLS = [
    ("kernel: sending", r"writev|sendto|sendmsg"),
    ("kernel: receiving", r"recvfrom|recvmsg"),
    ("kernel: files", r"pwrite|pread|fsync|ftruncate"),
    ("kernel: waiting and waking", r"epoll|futex|schedule"),
]
OTHER = "runtime and the rest"
KERNEL = "kernel: the rest"


def stacks(path):
    """The frames of each sample, innermost first."""
    frames = []
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not line.strip():
                if frames:
                    yield frames
                frames = []
            elif line[0].isspace():
                frames.append(line.split(maxsplit=1)[1].strip() if len(line.split(maxsplit=1)) > 1 else "")
    if frames:
        yield frames


def layer(frames):
    in_kernel = any("entry_SYSCALL" in frame or "asm_" in frame for frame in frames)
    if in_kernel:
        text = " ".join(frames)
        return next((name for name, pattern in CALLS if re.search(pattern, text)), KERNEL)
    for frame in frames:
        for name, pattern in FRAMES:
            if re.search(pattern, frame):
                return name
    return OTHER


def main():
    counted = collections.Counter(layer(frames) for frames in stacks(sys.argv[1]))
    total = sum(counted.values())
    if total == 0:
        sys.exit("no stack was sampled: may this user run perf? (/proc/sys/kernel/perf_event_paranoid)")
    with open(sys.argv[2], encoding="utf-8") as lines:
        figures = json.loads(lines.readline())["figures"]
    unit, rate = ("frame", "tokens") if "tokens_per_second" in figures else ("request", "requests")
    speed = figures[f"{rate}_per_second"]
    print(f"{figures['cpu_us']:.2f} µs of CPU a {unit} at {speed:.0f} {rate}/s; {total} samples.")
    print(f"\n| layer | share | µs a {unit} |\n|---|---:|---:|")
    for name, count in counted.most_common():
        print(f"| {name} | {100 * count / total:.1f} % | {figures['cpu_us'] * count / total:.2f} |")


main()
