#!/usr/bin/env python3
# echo-http: an HTTP server on 127.0.0.1:$PORT that answers with the request, as JSON; GET /stream counts to five.

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive
    # Head and body leave in one send, and nothing waits for the peer's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def __getattr__(self, name):
        # The base class looks for do_GET, do_POST and so on: any verb is welcome here.
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self):
        try:
            body = self.read_body()
        except ValueError:
            self.send_error(400, "the length or the chunks of the body are broken")
            return
        if self.command == "GET" and self.path.partition("?")[0] == "/stream":
            self.stream()
        else:
            self.echo(body)

    def echo(self, body):
        request = {
            "method": self.command,
            "path": self.path,
            "headers": {name: ", ".join(self.headers.get_all(name)) for name in self.headers},
            "body": body.decode("utf-8", "replace"),
        }
        answer = json.dumps(request).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        # The length is not known: the end of the connection ends the answer.
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(1, 6):
            self.wfile.write(f"id: {number}\ndata: tick {number}\n\n".encode())
            self.wfile.flush()
            time.sleep(0.2)

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(self.read_chunks())
        return self.rfile.read(length(self.headers.get("Content-Length", "0"), 10))

    def read_chunks(self):
        while size := length(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers

    def handle_expect_100(self):
        proceed = super().handle_expect_100()
        self.wfile.flush()  # or the caller would wait with its body for this line
        return proceed

    def log_request(self, code="-", size="-"):
        pass  # the gateway counts requests


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # the default of 5 drops callers who come all at once

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):  # a caller who hangs up is no error
            print(f"echo-http: {error!r}", file=sys.stderr, flush=True)


def length(digits, base):
    number = int(digits, base)
    if number < 0:
        raise ValueError("negative length")
    return number


def main():
    try:
        server = Server(("127.0.0.1", int(os.environ.get("PORT", ""))), Echo)
    except ValueError:
        sys.exit("echo-http: PORT must be a port number")
    except (OSError, OverflowError) as error:
        sys.exit(f"echo-http: cannot listen on PORT {os.environ['PORT']}: {error}")

    # The watchdog has drained by the time it sends SIGTERM.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    print(f"echo-http: listening on 127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


main()
