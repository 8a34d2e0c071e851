#!/usr/bin/env python3
"""Takes pictures of all pages of the web UI with real calls in them: make screenshots.

It starts a skep of its own from PROGRAMS (target/release), makes calls for a while, and opens each page in Chromium,
at 1280 and 375 pixels, light and dark. The pictures are in target/screenshots, and those that the docs show in docs/images.
It needs chromium, chromedriver, and Pillow (python3-pil on Debian).
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from PIL import Image
from screenshots_browser import Browser
from screenshots_calls import Calls, ask

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / os.environ.get("PROGRAMS", "target/release")
INTO = ROOT / "target/screenshots"
DOCS = ROOT / "docs/images"
# How long calls run before the first picture, so that charts have something to show.
BEFORE = float(os.environ.get("SECONDS", "150"))
# Only these pages, by their names, if there are any.
ONLY = os.environ.get("PAGES", "").split()
# Light and dark, wide and narrow.
THEMES = ("light", "dark")
WIDTHS = (1280, 375)
MOST_HEIGHT = 2400

# What is pressed on a page before its pictures are taken: windows, forms, and a report.
PRESSED = {
    "health-audit": "Run an audit now",
    "dead-redrive": "Redrive all that fit…",
    "dead-letter-edit": "Edit and redrive",
    "function-rollback": "Roll back to it",
    "source-replay": "Replay…",
}

# The pictures that the docs show: page, width, theme, height.
IN_DOCS = {
    "ui-overview": ("overview", 1280, "dark", 1050),
    "ui-call": ("call", 1280, "light", 880),
    "ui-dead-letters": ("dead", 1280, "dark", 800),
    "ui-phone": ("overview", 375, "dark", 900),
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(folder, port):
    for name in ("stack.yml", "functions"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    nats = subprocess.check_output(["sh", ROOT / "scripts/nats-server.sh"], text=True).strip()
    command = [PROGRAMS / "skep", "up", "-f", "stack.yml", "--listen", f"127.0.0.1:{port}", "--basic-auth=false"]
    command += ["--admin-listen", f"127.0.0.1:{free_port()}", "--nats-listen", f"127.0.0.1:{free_port()}"]
    command += ["--nats-server", nats, "--attempts", "3", "--retry-min-wait", "2s"]
    if os.geteuid() == 0:
        command.append("--allow-root")
    log = open(folder / "skep.log", "wb")
    skep = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    end = time.monotonic() + 60
    while ask(port, "GET", "/healthz")[0] != 200:
        if skep.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"skep does not start:\n{(folder / 'skep.log').read_text()}")
        time.sleep(0.2)
    return skep


def first_dead(port):
    """The id of a call that has died; the first one may take a while."""
    for _ in range(120):
        status, body = ask(port, "GET", "/system/dead?function=invoice&limit=1")
        if status == 200 and (letters := json.loads(body)):
            return letters[0]["callId"]
        time.sleep(1)
    raise SystemExit("no call of the function invoice has died within two minutes")


def newest_event(port):
    """The id of the last event that a route has taken."""
    status, body = ask(port, "GET", "/system/sources/shop/events?outcome=routed&limit=1")
    return json.loads(body)["events"][0]["id"] if status == 200 else "none"


def pages(port):
    """Each page by a name, with a call and a dead letter that there are."""
    dead = first_dead(port)
    return {
        "overview": "/ui/",
        "functions": "/ui/functions",
        "function": "/ui/functions/resize",
        "function-invoke": "/ui/functions/invoice/invoke",
        "function-calls": "/ui/functions/invoice/calls",
        "function-logs": "/ui/functions/wordcount/logs",
        "function-config": "/ui/functions/resize/config",
        "function-scaling": "/ui/functions/resize/scaling",
        "function-versions": "/ui/functions/resize/versions?version=1",
        "function-rollback": "/ui/functions/resize/versions",
        "deploy": "/ui/deploy",
        "calls": "/ui/calls",
        "call": "/ui/calls/order-4800",
        "call-dead": f"/ui/calls/{dead}",
        "dead": "/ui/dead",
        "dead-redrive": "/ui/dead",
        "dead-letter": f"/ui/dead/{dead}",
        "dead-letter-edit": f"/ui/dead/{dead}",
        "sources": "/ui/sources",
        "source": "/ui/sources/shop",
        "source-event": f"/ui/sources/shop/events/{newest_event(port)}",
        "source-replay": "/ui/sources/shop",
        "source-held": "/ui/sources/shop/held",
        "source-send": "/ui/sources/shop/send",
        "source-secrets": "/ui/sources/shop/secrets",
        "source-declaration": "/ui/sources/shop/declaration",
        "source-new": "/ui/sources?add=webhook",
        "schedules": "/ui/schedules",
        "schedule": "/ui/schedules/report",
        "logs": "/ui/logs?functions=invoice,wordcount,resize",
        "logs-none": "/ui/logs",
        "secrets": "/ui/secrets",
        "namespaces": "/ui/namespaces",
        "health": "/ui/health",
        "health-streams": "/ui/health/streams",
        "health-audit": "/ui/health/audit",
        "health-acts": "/ui/health/acts",
    }


def take(port):
    with Browser() as browser:
        # Charts begin when the UI is opened.
        browser.open(f"http://127.0.0.1:{port}/ui/", 1280)
        time.sleep(BEFORE)
        for name, path in pages(port).items():
            if ONLY and name not in ONLY:
                continue
            browser.visit(path)
            time.sleep(4)
            if name in PRESSED:
                browser.press(PRESSED[name])
                time.sleep(2)
            for theme in THEMES:
                browser.theme(theme)
                for width in WIDTHS:
                    browser.fit(width, MOST_HEIGHT)
                    file = INTO / f"{name}-{width}-{theme}.png"
                    file.write_bytes(browser.picture())
            print(f"{name}: {path}")
        for name, (page, width, theme, height) in IN_DOCS.items():
            if ONLY and page not in ONLY:
                continue
            save_for_docs(INTO / f"{page}-{width}-{theme}.png", DOCS / f"{name}.png", height)


def save_for_docs(source, target, height):
    image = Image.open(source).convert("RGB")
    image.crop((0, 0, image.width, min(image.height, height))).save(target, optimize=True)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1024} KiB")


def main():
    INTO.mkdir(parents=True, exist_ok=True)
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        skep = start(pathlib.Path(folder), port)
        calls = Calls(port)
        try:
            calls.start()
            take(port)
        finally:
            calls.stop()
            skep.send_signal(signal.SIGINT)
            skep.wait(60)


if __name__ == "__main__":
    main()
