"""A parser that misbehaves on request. A module of its own, light for the child to import."""

import os
import signal
import tempfile
import threading


def by_name(suffix: str, data: bytes) -> tuple[str, str]:
    """Behaves as the data says; "pid" answers which process it is."""
    match data.decode():
        case "hang":
            threading.Event().wait()
        case "burn":
            while True:
                pass
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "leave":
            os._exit(0)
        case "eat":
            return "", "x" * 10**12
        case "recurse":
            return by_name(suffix, data)
        case "bug":
            raise KeyError("a bug")
        case "write":
            with tempfile.TemporaryFile(buffering=0) as file:
                file.write(b"x")
    return str(os.getpid()), data.decode()
