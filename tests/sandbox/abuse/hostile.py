"""Programs to run inside a sandbox in place of ours; none of them means well.

Each is a text for Python: `PRELUDE`, which can speak the protocol, and what it does with it.
"""

import zipfile
from pathlib import Path

PRELUDE = """
import json, os, socket, sys, threading, time

TOKEN = sys.stdin.readline().strip()
PATH = sys.argv[2]

def dial(**words):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(PATH)
    connection.sendall(json.dumps({"token": TOKEN, **words}).encode() + b"\\n")
    return connection

def ready():
    control = dial()
    control.sendall(b'{"ready": true, "pid": 1}\\n')
    return control

def orders(control):
    for line in control.makefile("r"):
        yield json.loads(line)

def rest():
    threading.Event().wait()
"""

SILENT = "dial(); rest()"
DEAF = "rest()"
FAILING = "sys.exit('out of cheese')"
IMPOSTOR = "TOKEN = 'guess'; ready(); rest()"
LATE_TOKEN = "c = socket.socket(socket.AF_UNIX); c.connect(PATH); rest()"
LONG_GREETING = (
    "c = socket.socket(socket.AF_UNIX); c.connect(PATH); c.sendall(b'x' * 10**6); rest()"
)

GARBAGE = "c = ready(); c.sendall(b'\\xff\\xfe not json\\n'); rest()"
DEEP = "c = ready(); c.sendall(b'[' * 60000 + b'\\n'); rest()"
ENDLESS_LINE = "c = ready()\nwhile True: c.sendall(b'x' * 65536)"
CHATTER = """c = ready()\nwhile True: c.sendall(b'{"exited": "x", "status": 0}\\n' * 1000)"""
STRANGE_LINES = "c = ready()\nwhile True: c.sendall(b'{\"hello\": [1, 2]}\\n')"
HANGS_UP = "ready().close(); rest()"
DIALS = """
c = ready()
while True:
    try:
        dial(channel="nobody asked")
    except OSError:
        pass
"""
KEEPS_DIALLING = """
c = ready()
kept = []
while True:
    try:
        d = socket.socket(socket.AF_UNIX); d.connect(PATH); kept.append(d)
    except OSError:
        pass
"""

IGNORES_ORDERS = "c = ready(); rest()"
NEVER_READS = "c = ready()\nc.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)\nrest()"
REFUSES = """
c = ready()
for order in orders(c):
    c.sendall(json.dumps({"failed": order["open"], "error": "x" * 10**4}).encode() + b"\\n")
"""
SENDS_DESCRIPTORS = """
c = ready()
null = os.open("/dev/null", os.O_RDONLY)
for order in orders(c):
    if "claim" in order:
        socket.send_fds(c, [b'{"claimed": true}\\n'], [null] * 100)
    else:
        d = dial(channel=order["open"])
        for _ in range(20):
            socket.send_fds(d, [b"x"], [null] * 100)
        d.close()
"""
WRITES_ERRORS = """
os.write(2, b"!" * 1000)
c = ready()
threading.Thread(target=lambda: [os.write(2, b"!" * 65536) for _ in range(10**9)]).start()
for order in orders(c):
    c.sendall(b'{"claimed": true}\\n')
"""
FILES = """
c = ready()
for order in orders(c):
    d = dial(channel=order["pull"])
    kind = order["path"]
    if kind == "endless":
        d.sendall(b'{"ok": true}\\n')
        try:
            while True: d.sendall(b"x" * 65536)
        except OSError:
            continue
    if kind == "short":
        d.sendall(b'{"ok": true, "size": 100}\\nonly this')
    if kind == "nonsense":
        d.sendall(b'[[[\\n')
    if kind == "long":
        d.sendall(b'x' * 10**5)
    if kind == "nothing":
        pass
    if kind == "waits":
        d.sendall(b'{"ok": true}\\nx')
        keep = d
        continue
    d.close()
"""


def pack(program: str, file: Path) -> Path:
    """Make a zipapp that is started like ours and runs `program`."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("toolservers/__init__.py", "")
        archive.writestr("toolservers/__main__.py", f"{PRELUDE}\n{program}\nmain = rest\n")
    return file
