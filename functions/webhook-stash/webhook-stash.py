#!/usr/bin/env python3
# webhook-stash: writes each event to a file of its own in the folder stash/ (or $stash_dir).

import os
import sys
import time


def main():
    folder = os.environ.get("stash_dir") or "stash"
    # Two replicas can be called in the same nanosecond, hence the random tail.
    name = f"{time.time_ns()}-{os.urandom(4).hex()}"
    unfinished = os.path.join(folder, f".{name}.tmp")

    os.makedirs(folder, exist_ok=True)
    try:
        with open(unfinished, "xb") as file:
            while chunk := sys.stdin.buffer.read(65536):
                file.write(chunk)
            size = file.tell()
            # "stashed" is a promise: the bytes are on the disk before it is made.
            file.flush()
            os.fsync(file.fileno())
        # Whoever watches the folder sees whole events only.
        os.rename(unfinished, os.path.join(folder, name))
    except OSError:
        if os.path.exists(unfinished):
            os.unlink(unfinished)
        raise
    print(f"stashed {name} ({size} bytes)")


try:
    main()
except OSError as error:
    sys.exit(f"webhook-stash: {error}")
