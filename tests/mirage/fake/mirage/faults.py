"""What a test asks this Mirage to do wrong."""

import ctypes
import os
import signal
import sys
import time


def wanted(call):
    kind, _, where = os.environ.get("FAKE_MIRAGE", "").partition("@")
    return kind if where == call else None


def fault(call):
    kind = wanted(call)
    if kind == "abort":
        os.write(2, b"terminate called after throwing an instance of 'std::runtime_error'\n")
        os.write(2, b"  what():  this is no graph\n")
        os.abort()
    elif kind == "bad_alloc":
        os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
        os.write(2, b"  what():  std::bad_alloc\n")
        os.abort()
    elif kind == "assert":
        os.write(2, b"x.cc:7: void f(): Assertion `a == b' failed.\n")
        os.abort()
    elif kind == "segfault":
        ctypes.string_at(0)
    elif kind == "divide":
        os.kill(os.getpid(), signal.SIGFPE)
    elif kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "raise":
        raise ValueError("no such thing\nin Mirage")
    elif kind == "memory":
        raise MemoryError
    elif kind == "missing":
        raise ModuleNotFoundError("No module named 'cuda'", name="cuda")
    elif kind == "exit":
        sys.exit(7)
    elif kind == "hang":
        print("going round in circles", flush=True)
        time.sleep(600)
