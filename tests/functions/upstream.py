#!/usr/bin/env python3
# upstream: an HTTP server on 127.0.0.1:$PORT that does what tests ask for, good and bad; see the paths in `answer`.

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self):
        path = self.path.partition("?")[0]
        self.close_connection = True
        if path == "/verbatim":
            # The body is the answer, byte by byte as it goes over the wire.
            self.wfile.write(self.rfile.read(int(self.headers["Content-Length"])))
        elif path == "/never":
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            until_there("never")
        elif path == "/events":
            # The second event is not produced before the file `more` is there.
            self.head("text/event-stream")
            self.piece(b"data: one\n\n")
            until_there("more")
            self.piece(b"data: two\n\n")
            self.piece(b"")
        elif path == "/upload":
            # Tells by a file of its own that the first piece of the body came.
            body = pieces(self.rfile)
            first = next(body)
            open("first-piece", "wb").write(first)
            rest = b"".join(body)
            self.head("text/plain")
            self.piece(first + rest)
            self.piece(b"")
        else:
            self.send_error(404)

    def head(self, content_type):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def piece(self, data):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def log_request(self, code="-", size="-"):
        pass


def pieces(stream):
    while size := int(stream.readline().partition(b";")[0], 16):
        yield stream.read(size)
        stream.readline()
    stream.readline()


def until_there(name):
    while not os.path.exists(name):
        time.sleep(0.05)


class Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


Server(("127.0.0.1", int(os.environ["PORT"])), Upstream).serve_forever()
