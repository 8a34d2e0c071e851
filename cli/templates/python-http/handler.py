#!/usr/bin/env python3
# A server on 127.0.0.1, at the port in the variable PORT. It starts once and gets every request of its replica.
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, {"function": "@NAME@", "path": self.path})

    def do_POST(self):
        try:
            name = json.loads(self.body())["name"]
        except (ValueError, KeyError, TypeError):
            return self.answer(400, {"error": 'the body must be JSON with "name"'})
        self.answer(200, {"hello": name})

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while length := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, status, content):
        body = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        """What goes to STDERR is in skep logs; a line for each call would be too much."""


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
