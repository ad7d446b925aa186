"""The first process of a sandbox is closed to what it starts; that itself is not."""

import subprocess

from tests.toolservers.peer import PATIENCE, PYTHON, ROOT

_PROGRAM = """
import ctypes, os, signal, subprocess, sys
sys.path.insert(0, sys.argv[1])
from toolservers.shield import raise_shield
assert raise_shield()
ask = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # PR_GET_DUMPABLE
child = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
place = os.open("/", os.O_PATH)
print(
    ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
    child.stdout.strip(),
    os.readlink(f"/proc/self/fd/{place}"),
    signal.getsignal(signal.SIGINT) is signal.SIG_DFL,
)
"""


def test_it_is_not_dumpable_sees_itself_and_starts_ordinary_programs():
    done = subprocess.run(
        [PYTHON, "-c", _PROGRAM, str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert done.stdout.split() == ["0", "1", "/", "True"]
