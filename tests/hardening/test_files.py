"""Files that are not what they are given for: one message, exit code 2 or 3, nothing written."""

from __future__ import annotations

import gzip

import pytest
import zstandard

BOMB_BYTES = 64 << 20

CONTENTS = {
    "empty": b"",
    "nul": bytes(1000),
    "binary": bytes(range(256)) * 20,
    "cut": b'{"schema": "mpkgraph-overlay/1", "overlays": [{"na',
    "nested": b"[" * 200_000,
    "nested objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "nested as far as JSON is read": b"[" * 900 + b"]" * 900,
    "nested value": b'{"schema":' + b"[" * 900 + b"]" * 900 + b"}",
    "list": b"[]",
    "object": b"{}",
    "null": b"null",
    "number": b"1e999",
    "nan": b"NaN",
    "mark": b"\xef\xbb\xbf{}",
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "no utf-8": b'{"a": "\xff\xfe"}',
    "surrogate": rb'{"schema": "\ud800"}',
    "escapes": rb'{"schema": "\u001b]0;x\u0007"}',
    "csv": b"a,b\n1,2",
    "schema of the future": b'{"schema": "mpkgraph-overlay/99"}',
    "empty patch": b'{"schema": "mpkgraph-patch/1"}',
    "hollow record": b'{"schema": "mpk-pipeline-1"}',
    "gzip cut": gzip.compress(b"{}" * 1000)[:20],
    "zstd cut": zstandard.compress(b"{}" * 1000)[:12],
    "zstd bomb": zstandard.compress(bytes(BOMB_BYTES)),
    "zip": b"PK\x03\x04" + b"garbage" * 20,
    "array of objects": b"\x93NUMPY\x01\x00\x46\x00"
    + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}".ljust(69)
    + b"\n",
    "array too large": b"\x93NUMPY\x01\x00\x56\x00"
    + b"{'descr': '<u8', 'fortran_order': False, 'shape': (1000000000000,)}".ljust(85)
    + b"\n",
}
COMMANDS = {
    "show": lambda small, file, out: ["show", file],
    "record": lambda small, file, out: ["show", small.graph, "--record", file],
    "compile": lambda small, file, out: ["compile", file, "-o", out],
    "verify": lambda small, file, out: ["verify", file, "-o", out / "x"],
    "diff": lambda small, file, out: ["diff", small.graph, file, "-o", out / "x"],
    "apply": lambda small, file, out: ["diff", small.graph, "--apply", file, "-o", out / "x"],
    "overlay": lambda small, file, out: [
        *("show", small.graph, "--html", out / "x.html", "--overlay", file)
    ],
    "cost": lambda small, file, out: ["show", small.graph, "--schedule", "--cost", file],
    "baseline": lambda small, file, out: ["verify", small.graph, "--baseline", file],
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_wrong_content(command, content, small, refuse, tmp_path):
    file = tmp_path / "given.json"
    file.write_bytes(CONTENTS[content])
    out = tmp_path / "out"
    out.mkdir()
    said = refuse(*COMMANDS[command](small, file, out))
    assert "given.json" in said
    assert len(said) < 1000


@pytest.mark.parametrize("suffix", [".npy", ".perfetto-trace", ".bin"])
@pytest.mark.parametrize("content", CONTENTS)
def test_wrong_profile(content, suffix, small, refuse, tmp_path):
    if suffix == ".perfetto-trace":
        pytest.importorskip("perfetto")
    file = tmp_path / f"given{suffix}"
    file.write_bytes(CONTENTS[content])
    refuse("show", small.graph, "--schedule", "--profile", file)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["missing", "folder", "loop", "long", "below a file", "empty"])
def test_wrong_path(command, kind, small, refuse, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    file = {
        "missing": tmp_path / "missing.json",
        "folder": tmp_path / "folder",
        "loop": tmp_path / "loop",
        "long": "a" * 5000,
        "below a file": small.graph / "x",
        "empty": "",
    }[kind]
    refuse(*COMMANDS[command](small, file, tmp_path))


@pytest.mark.parametrize("kind", [[1], {}, None, 1, "other"])
def test_overlay_of_no_kind(kind, small, refuse, tmp_path):
    import json

    file = tmp_path / "overlay.json"
    overlay = {"name": "a", "kind": kind, "values": []}
    file.write_text(json.dumps({"schema": "mpkgraph-overlay/1", "overlays": [overlay]}))
    said = refuse("show", small.graph, "--html", tmp_path / "x.html", "--overlay", file)
    assert "kind" in said


@pytest.mark.parametrize("capability", [-1, 1000, 1 << 32, 1 << 62])
def test_record_of_no_gpu(capability, small, refuse, tmp_path):
    import json

    record = json.loads(small.record.read_text(encoding="utf-8"))
    record["target_cc"] = capability
    file = tmp_path / "record.json"
    file.write_text(json.dumps(record))
    assert "target_cc" in refuse("verify", small.graph, "--record", file)


@pytest.mark.parametrize("content", CONTENTS)
def test_wrong_manifest(content, small, refuse, tmp_path):
    pytest.importorskip("torch")
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "manifest.json").write_bytes(CONTENTS[content])
    assert "manifest.json" in refuse("verify", small.record, "--run", "--against", saved)
