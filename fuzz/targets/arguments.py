"""Values of options: ids, patterns, settings, factors, axes, rules; on small good inputs.

Options that name files to write are left out.
"""

from __future__ import annotations

from fuzz import edits, seeds
from fuzz.command import ask

ANY = ("", "0", "-1", "all", "1-", "-", "9" * 30, "1,2", "*", "[", "é\x1b", "nan", "inf", "1e400")
VALUES: dict[str, tuple[str, ...]] = {
    "--task": ("3", "2-5", "0-", "4-2", "3,4"),
    "--event": ("1", "all", "0x2", "144115188075855873", "2-"),
    "--operator": ("1", "linear", "0-2", "rms*"),
    "--tensor": ("x_*", "x_a", "w_[bc]", "**"),
    "--type": ("linear", "104", "TASK_LINEAR", "10"),
    "--variant": ("0", "1"),
    "--waits-on": ("2", "1"),
    "--triggers": ("2", "3"),
    "--list": ("tasks", "slots", "events", "operators", "tensors"),
    "--hops": ("1", "0", "99"),
    "--direction": ("up", "down", "both"),
    "--limit": ("1", "3"),
    "--workers": ("1", "4", "160", "100000"),
    "--schedulers": ("1", "4", "16"),
    "--cost": ("h100", "b200", "a100"),
    "--kv-length": ("0", "128", "1073741824"),
    "--what-if": ("linear=0.5", "event:2=split", "events=split", "counts=repair", "104=0"),
    "--rank": ("0", "1"),
}
FLAGS = ("--schedule", "--all-paths", "--reduce", "--full", "--json", "--csv", "--no-record")
VERIFY: dict[str, tuple[str, ...]] = {
    "--select": ("all", "MPK2", "hazards", "MPK204", "errors"),
    "--ignore": ("advice", "MPK5", "splits"),
    "--suppress": ("MPK204", "MPK204@linear", "MPK501@2", "x@y@z"),
    "--fail-on": ("error", "warning", "never"),
    "--format": ("text", "json", "sarif", "github", "junit"),
    "--explain": ("MPK204", "hazards"),
    "--workers": ("1", "128"),
    "--schedulers": ("1", "4"),
}
COMPILE: dict[str, tuple[str, ...]] = {
    "--set": ("rows=2", "hidden=128", "tile=64", "copies=8", "rows=[1]", "tile=-64", "tile=0"),
    "--init": ("max_num_batched_tokens=2", "mode='onepass'", "page_size=0", "mode=3", "eos=1"),
    "--target": ("90", "h100", "b200", "100", "33"),
    "--workers": ("8", "132"),
    "--schedulers": ("4",),
    "--world-size": ("1", "2", "8"),
    "--register": ("x:1:1:200", "linear:2:1:104", "x:a:b:c", "y:999999:1:1"),
    "--rank": ("0", "1"),
}
DIFF: dict[str, tuple[str, ...]] = {
    "--only": ("tasks", "operators", "edges", "grid"),
    "--ignore": ("names", "order", "tiles"),
    "--format": ("text", "json", "html", "dot"),
    "--ranks": ("0",),
}
COMMANDS = {"show": VALUES, "verify": VERIFY, "compile": COMPILE, "diff": DIFF}


def SEEDS() -> list[bytes]:
    return seeds.random_bytes(96, 24)


def try_input(data: bytes) -> None:
    choices = edits.Bytes(data)
    command = choices.choice(list(COMMANDS))
    known = COMMANDS[command]
    arguments = [command, *_sources(command)]
    for _ in range(choices.below(5)):
        if command == "show" and choices.below(3) == 0:
            arguments.append(choices.choice(FLAGS))
            continue
        option = choices.choice(list(known))
        arguments += [option, _value(choices, known[option])]
        if option == "--ranks":
            arguments.append(_value(choices, known[option]))
    ask(*arguments)


def _value(choices: edits.Bytes, usual: tuple[str, ...]) -> str:
    way = choices.below(8)
    if way < 4:
        return choices.choice(usual)
    if way < 6:
        return choices.choice(ANY)
    text = choices.choice(usual)
    where = choices.below(len(text) + 1)
    return text[:where] + choices.choice(["", *"=:@,-*\x00 9a[(.x"]) + text[where + way - 6 :]


def _sources(command: str) -> list[str]:
    if command == "compile":
        return [seeds.DIAMOND, "--dry-run", "--quiet"]
    graph = seeds.write("task_graph_rank0.json", seeds.graph_document("diamond"))
    if command == "diff":
        other = seeds.write("other.json", seeds.graph_document("other tiles"))
        return [str(graph), str(other), "--no-cache"]
    return [str(graph), "--no-cache"]
