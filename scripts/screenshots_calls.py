"""Functions, and calls of all kinds to them, for scripts/screenshots.py: some fail, some wait, some have callbacks."""

import base64
import hmac
import http.client
import http.server
import json
import math
import random
import threading
import time

INVOICE = """sh -c 'order=$(cat); case $order in *9*) echo no such customer >&2; exit 3;; esac; echo {\\"paid\\":$order}'"""

FUNCTIONS = [
    {
        "service": "resize",
        "envProcess": "sh -c 'sleep 0.0$(($$ % 9 + 1)); sha256sum'",
        "annotations": {"description": "Makes thumbnails of photos"},
        "labels": {"com.openfaas.scale.min": "1", "com.openfaas.scale.max": "5"},
    },
    {
        "service": "invoice",
        "envProcess": INVOICE,
        "envVars": {"content_type": "application/json"},
        "annotations": {
            "description": "Writes invoices",
            "com.openfaas.retry.attempts": "3",
            "com.openfaas.retry.min_wait": "1s",
            "com.openfaas.retry.max_wait": "4s",
        },
    },
    {
        "service": "mailer",
        "envProcess": "sh -c 'sleep 3; cat'",
        "envVars": {"max_inflight": "1"},
        "annotations": {"description": "Sends mail, one at a time"},
    },
    {
        "service": "import",
        "envProcess": "sh -c 'exit 9'",
        "envVars": {"mode": "http"},
        "annotations": {"description": "Fetches prices"},
    },
]

SOURCES = [
    {
        "name": "shop",
        "preset": "standard-webhooks",
        "routes": [
            {"name": "paid", "to": "invoice", "filter": {"type": "order.paid"}},
            {"name": "all", "to": "wordcount", "filter": {"type": "order.*"}},
        ],
    },
    {"name": "report", "every": "1m", "routes": [{"to": "wordcount"}]},
]

# Of the source shop; it is nobody's.
SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def ask(port, method, path, body=b"", headers=None):
    """The status and the body of an answer; 0 if there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes callbacks: at /ok each one, at /flaky the third try, at /gone none."""

    tries = 0

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = 200
        if self.path == "/gone":
            status = 410
        if self.path == "/flaky":
            Receiver.tries += 1
            status = 200 if Receiver.tries > 2 else 503
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Calls:
    """Calls until it is stopped."""

    def __init__(self, port):
        self.port = port
        self.stopped = threading.Event()
        self.receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.callback = f"http://127.0.0.1:{self.receiver.server_port}"
        random.seed(7)

    def ask(self, method, path, body=b"", **headers):
        return ask(self.port, method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})

    def start(self):
        threading.Thread(target=self.receiver.serve_forever, daemon=True).start()
        for function in FUNCTIONS:
            self.ask("POST", "/system/functions?note=The+first+one", json.dumps(function))
        better = FUNCTIONS[0] | {"envVars": {"QUALITY": "80"}, "labels": {"com.openfaas.scale.min": "2"}}
        self.ask("PUT", "/system/functions?note=Better+thumbnails", json.dumps(better))
        self.ask("POST", "/system/secrets", json.dumps({"name": "payment-key", "value": "example"}))
        self.ask("POST", "/system/namespace/", json.dumps({"name": "staging"}))
        for source in SOURCES:
            self.ask("POST", "/system/sources", json.dumps(source))
        self.ask("POST", "/system/sources/shop/secrets", json.dumps({"value": "whsec_" + SECRET}))
        time.sleep(5)
        self.ask("POST", "/async-function/slow", b"1", X_Skep_Delay="2h", X_Call_Id="report-tonight")
        for number in range(4711, 4714):
            headers = {"X_Callback_Url": self.callback + "/gone", "X_Call_Id": f"order-{number}"}
            self.ask("POST", "/async-function/wordcount", b"bees", **headers)
        order = b'{"order":1,"amount":125}'
        self.ask("POST", "/async-function/invoice", order, X_Callback_Url=self.callback + "/flaky", X_Call_Id="order-4800")
        for rate, act in [
            (6, lambda: self.ask("POST", "/function/resize", b"x" * random.randint(10, 2000))),
            (2, lambda: self.ask("POST", "/function/wordcount", b"the bees and the hive")),
            (3, lambda: self.ask("GET", f"/function/echo-http/items/{random.randint(1, 500)}")),
            (0.5, self.order),
            (0.4, lambda: self.ask("POST", "/async-function/mailer", b"hello", X_Callback_Url=self.callback + "/ok")),
            (0.1, lambda: self.ask("POST", "/async-function/fail", b"7")),
            (0.3, self.event),
            (0.05, lambda: self.ask("POST", "/hooks/shop", b"forged", Content_Type="application/json")),
        ]:
            threading.Thread(target=self.repeat, args=(rate, act), daemon=True).start()

    def order(self):
        body = json.dumps({"order": random.randint(1, 99), "amount": random.randint(5, 500)})
        self.ask("POST", "/async-function/invoice", body, Content_Type="application/json")

    def event(self):
        kind = random.choice(["order.paid", "order.paid", "order.refunded", "customer.created"])
        body = json.dumps({"type": kind, "data": {"id": random.randint(1, 999), "amount": random.randint(5, 500)}})
        name, at = f"msg_{random.getrandbits(64):016x}", str(int(time.time()))
        signed = hmac.new(base64.b64decode(SECRET), f"{name}.{at}.{body}".encode(), "sha256").digest()
        headers = {"webhook_id": name, "webhook_timestamp": at, "Content_Type": "application/json"}
        # Providers send some events twice.
        for _ in range(random.choice([1, 1, 1, 1, 2])):
            self.ask("POST", "/hooks/shop", body, webhook_signature=f"v1,{base64.b64encode(signed).decode()}", **headers)

    def repeat(self, rate, act):
        """Calls at this rate per second, which changes a little within a minute."""
        while not self.stopped.is_set():
            wave = 1 + 0.5 * math.sin(time.monotonic() / 20)
            self.stopped.wait(random.expovariate(rate * wave))
            act()

    def stop(self):
        self.stopped.set()
        self.receiver.shutdown()
