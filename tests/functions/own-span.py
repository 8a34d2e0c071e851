"""Sends a span of its own to the collector in its environment, below the request that it serves."""

import json
import os
import time
import urllib.request

_, trace, parent, _ = os.environ["TRACEPARENT"].split("-")
now = str(time.time_ns())
span = {"traceId": trace, "spanId": "00f067aa0ba902b7", "parentSpanId": parent, "name": "own work", "kind": 1}
span.update(startTimeUnixNano=now, endTimeUnixNano=now)


def attribute(name, value):
    return {"key": name, "value": {"stringValue": value}}


pairs = [pair.split("=") for pair in os.environ["OTEL_RESOURCE_ATTRIBUTES"].split(",")]
resource = [attribute("service.name", os.environ["OTEL_SERVICE_NAME"])] + [attribute(*pair) for pair in pairs]
batch = {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [{"spans": [span]}]}]}
url = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces"
headers = {"Content-Type": "application/json"}
request = urllib.request.Request(url, json.dumps(batch).encode(), headers)
print(urllib.request.urlopen(request).status)
