"""Writes the licences of all crates that skep and fwatchdog are made of, and checks that those of nats-server are known.

Usage: licences.py FILE NATS_SERVER
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OF_NATS = ROOT / "deploy/package/nats-server-licences.txt"
PROGRAMS = ("skep-cli", "skep-watchdog")
TEXT = re.compile(r"(licen[cs]e|copying|notice|unlicense|copyright)", re.IGNORECASE)
# The text that a crate without one of its own has, by the name of its licence.
COMMON = {"Apache-2.0": ROOT / "LICENSE", "MIT": ROOT / "deploy/package/mit.txt"}


def crates():
    """The crates of other people that end up in the programs, on this platform."""
    cargo = os.environ.get("CARGO", "cargo")
    host = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    host = re.search(r"^host: (.*)$", host, re.MULTILINE).group(1)
    command = [cargo, "metadata", "--format-version", "1", "--locked", "--filter-platform", host]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    left = [id for id, package in packages.items() if package["name"] in PROGRAMS]
    found = set()
    while left:
        id = left.pop()
        if id in found:
            continue
        found.add(id)
        for dependency in nodes[id]["deps"]:
            # What only tests need is not in the programs; what builds them may leave code in them.
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
                left.append(dependency["pkg"])
    others = [packages[id] for id in found if packages[id]["source"]]
    return sorted(others, key=lambda package: (package["name"], package["version"]))


def texts(package):
    """The texts in a crate, of the code of others in it too."""
    folder = Path(package["manifest_path"]).parent
    files = [file for file in folder.rglob("*") if TEXT.match(file.name) and file.is_file()]
    files = [file for file in files if file.suffix.lower() not in (".rs", ".c", ".h", ".html", ".json", ".toml", ".py")]
    found = [file.read_text(errors="replace").strip() for file in sorted(files)]
    if found:
        return found
    for name, file in COMMON.items():
        if name in (package["license"] or ""):
            return [file.read_text().strip().replace("AUTHORS", ", ".join(package["authors"]))]
    return []


def modules(program):
    """The Go modules in a program, as its build information names them."""
    found = re.findall(rb"\n(?:mod|dep)\t([!-~]+)\tv", Path(program).read_bytes())
    return sorted({name.decode() for name in found})


def main():
    target, nats_server = sys.argv[1:]
    known = OF_NATS.read_text()
    unknown = [name for name in modules(nats_server) if not re.search(rf"^{re.escape(name)} ", known, re.MULTILINE)]
    if unknown or not modules(nats_server):
        sys.exit(f"{OF_NATS}: add the licences of {', '.join(unknown) or nats_server}")
    used, missing, by_text = crates(), [], {}
    for package in used:
        found = texts(package)
        if not found:
            missing.append(f"{package['name']} {package['version']} ({package['license']})")
        for text in found:
            by_text.setdefault(text, []).append(f"{package['name']} {package['version']}")
    if missing:
        sys.exit(f"no text of a licence is in {', '.join(missing)}: add the text to COMMON in {__file__}")
    with open(target, "w") as file:
        file.write("What skep and fwatchdog are made of, with the licences; their texts follow, and LICENSE is Apache-2.0.\n\n")
        file.write("the Rust standard library  MIT OR Apache-2.0\n")
        for package in used:
            file.write(f"{package['name']} {package['version']}  {package['license'] or 'see below'}\n")
        for text, names in by_text.items():
            file.write(f"\n==== {', '.join(names)}\n\n{text}\n")
    print(f"{len(used)} crates, {len(by_text)} texts: {target}", file=sys.stderr)


main()
