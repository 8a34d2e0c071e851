#!/usr/bin/env python3
# STDIN is the body of the request, STDOUT the answer. An exit code other than 0 makes it a failure (500).
# Headers, path and query are variables: Http_X_Github_Event, Http_Path, Http_Query (docs/functions.md).
import json
import sys


def main():
    order = json.load(sys.stdin)
    total = sum(item["price"] * item["count"] for item in order["items"])
    json.dump({"order": order["id"], "total": total}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
