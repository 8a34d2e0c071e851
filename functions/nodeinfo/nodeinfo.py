#!/usr/bin/env python3
# nodeinfo: facts about the machine as text, or as JSON for STDIN `json` or the query `format=json`.

import json
import os
import sys
import time


def facts():
    system = os.uname()
    page = os.sysconf("SC_PAGE_SIZE")
    # The clock since boot that counts a laptop's sleep; macOS has only the other one.
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return {
        "hostname": system.nodename,
        "platform": f"{system.sysname} {system.release}",
        "arch": system.machine,
        "cpus": os.cpu_count(),
        "uptime_seconds": int(time.clock_gettime(clock)),
        "load": [round(load, 2) for load in os.getloadavg()],
        "memory_bytes": page * os.sysconf("SC_PHYS_PAGES"),
    }


def wants_json():
    query = os.environ.get("Http_Query", "").split("&")
    return sys.stdin.buffer.read().strip() == b"json" or "format=json" in query


def as_text(node):
    minutes = node["uptime_seconds"] // 60
    load = " ".join(f"{load:.2f}" for load in node["load"])
    return (
        f"hostname  {node['hostname']}\n"
        f"platform  {node['platform']}\n"
        f"arch      {node['arch']}\n"
        f"cpus      {node['cpus']}\n"
        f"uptime    {minutes // 1440} d {minutes // 60 % 24} h {minutes % 60} min\n"
        f"load      {load}\n"
        f"memory    {node['memory_bytes'] / 2**30:.1f} GiB"
    )


try:
    print(json.dumps(facts()) if wants_json() else as_text(facts()))
except (OSError, ValueError) as error:
    sys.exit(f"nodeinfo: {error}")
