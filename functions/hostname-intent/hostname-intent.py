#!/usr/bin/env python3
# hostname-intent: answers an Alexa request (JSON) with the name of the host (Alexa JSON).

import json
import os
import sys

try:
    event = json.load(sys.stdin.buffer)
except (ValueError, RecursionError) as error:
    sys.exit(f"hostname-intent: STDIN is not JSON: {error}")

if not isinstance(event, dict) or not isinstance(event.get("request"), dict):
    sys.exit("hostname-intent: STDIN is not an Alexa request: it has no object `request`")

answer = {
    "version": "1.0",
    "response": {
        "outputSpeech": {
            "type": "PlainText",
            "text": f"This is the host {os.uname().nodename}.",
        },
        "shouldEndSession": True,
    },
}
print(json.dumps(answer))
