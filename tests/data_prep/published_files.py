"""A server on this machine in place of those that publish corpora; imported by the tests here."""

import contextlib
import functools
import http.server
import pathlib
import threading


class Publisher(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, ranges too, and does what the test asks it to do wrong.

    ``asked`` has (path, Range) of each request. ``cut`` is path -> bytes after which a connection
    is closed, once; ``answers`` is path -> (status, headers) of the next answers, in turn;
    ``without_ranges`` are paths that are always sent from their beginning.
    """

    protocol_version = "HTTP/1.1"
    asked: list
    cut: dict
    answers: dict
    without_ranges: set

    def do_GET(self):  # noqa: N802
        wanted = self.headers.get("Range")
        name = self.path.partition("?")[0]
        self.asked.append((name, wanted))
        if self.answers.get(name):
            return self._refuse(*self.answers[name].pop(0))
        file = pathlib.Path(self.translate_path(self.path))
        if not file.is_file():
            return self._refuse(404, {})
        data, first = file.read_bytes(), 0
        if wanted and name not in self.without_ranges:
            first = int(wanted.removeprefix("bytes=").rstrip("-"))
            if first >= len(data):
                return self._refuse(416, {"Content-Range": f"bytes */{len(data)}"})
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        if (cut := self.cut.pop(name, None)) is None:
            self.wfile.write(data[first:])
        else:
            self.wfile.write(data[first : first + cut])
            self.close_connection = True

    def _refuse(self, status, headers):
        self.send_response(status)
        for key, value in ({"Content-Length": "0"} | headers).items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, *args):
        """Says nothing."""


@contextlib.contextmanager
def publish(folder):
    """Serves a folder; gives the handler, whose ``url`` is the server's."""
    words = {"asked": [], "cut": {}, "answers": {}, "without_ranges": set()}
    handler = type("Handler", (Publisher,), words)
    serving = functools.partial(handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serving) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        handler.url = f"http://127.0.0.1:{server.server_port}"
        yield handler
        server.shutdown()
