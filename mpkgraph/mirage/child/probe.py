"""What this process finds when it imports torch and Mirage, said step by step.

Started by `facts.probe`; a step that kills the process is the one after the last that was said.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import sys
from typing import Any

MARK = "mpkgraph-probe "


def main() -> None:
    python, stub = sys.argv[1], sys.argv[2]
    _say("start", python=list(sys.version_info[:3]))
    _say("libcuda", **_libcuda(stub))
    _say("torch", **_tried(_torch))
    sys.path.insert(0, python)
    _say("mirage", **_tried(_mirage))
    sys.stdout.flush()
    os._exit(0)


def _say(step: str, **fields: Any) -> None:
    sys.stdout.write(MARK + json.dumps({"step": step, **fields}, default=str) + "\n")
    sys.stdout.flush()


def _tried(step: Any) -> dict[str, Any]:
    try:
        return {"ok": True, **step()}
    except BaseException as error:  # noqa: BLE001  imports may raise anything
        return {
            "ok": False,
            "error": f"{type(error).__name__}: {error}",
            "module": getattr(error, "name", None) if isinstance(error, ImportError) else None,
        }


def _libcuda(stub: str) -> dict[str, Any]:
    try:
        library = ctypes.CDLL("libcuda.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        with contextlib.suppress(OSError):
            if stub:
                ctypes.CDLL(stub, mode=ctypes.RTLD_GLOBAL)
        return {"ok": False, "error": str(error)}
    version = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    return {"ok": True, "cuda": f"{version.value // 1000}.{version.value % 1000 // 10}"}


def _torch() -> dict[str, Any]:
    torch = importlib.import_module("torch")
    found: dict[str, Any] = {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "available": torch.cuda.is_available(),
        "gpus": [],
    }
    if found["available"]:
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            found["gpus"].append(
                {
                    "name": properties.name,
                    "cc": properties.major * 10 + properties.minor,
                    "num_sms": properties.multi_processor_count,
                    "memory_bytes": properties.total_memory,
                }
            )
        # Only a kernel shows whether torch was built for this GPU.
        torch.ones(4, device="cuda").sum().item()
    return found


def _mirage() -> dict[str, Any]:
    mirage = importlib.import_module("mirage")
    importlib.import_module("mirage.mpk.persistent_kernel")
    mirage.core.CyKNGraph(disable_fingerprint=True)
    return {"version": getattr(mirage, "__version__", None), "file": mirage.__file__}
