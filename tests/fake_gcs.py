"""A Google Cloud Storage of one's own: the JSON API over objects in memory, for the real clients.

TensorFlow's file system (which ``epath`` uses) knows no other address than Google's, over TLS; it
is led here as through a proxy, with an authority of this server's own. TensorStore (Orbax) and
google-cloud-storage take an address. What the server does not have, an object store does not have:
objects are written whole, cannot be appended to or renamed, and folders are only names.
"""

import contextlib
import http.server
import itertools
import json
import pathlib
import re
import ssl
import threading
import urllib.parse
from collections.abc import Iterator

import trustme


class Objects:
    """Buckets of named bytes, with generations, and a record of what was asked.

    Attributes:
      buckets: those that exist.
      denied: those that refuse everyone (403).
      read_only: those that refuse who writes.
      asked: ``"METHOD path"`` of every request.
    """

    def __init__(self, *buckets: str):
        self.buckets: dict[str, dict[str, tuple[bytes, int]]] = {name: {} for name in buckets}
        self.denied: set[str] = set()
        self.read_only: set[str] = set()
        self.asked: list[str] = []
        self.lock = threading.RLock()
        self.generations = itertools.count(1_000_000)
        self.sessions: dict[str, tuple[str, str, bytearray]] = {}

    def put(self, bucket: str, name: str, content: bytes) -> dict:
        with self.lock:
            self.buckets[bucket][name] = bytes(content), next(self.generations)
            return self.about(bucket, name)

    def about(self, bucket: str, name: str) -> dict:
        content, generation = self.buckets[bucket][name]
        updated = f"2026-01-01T00:00:00.{generation % 1000:03d}Z"
        return {
            "kind": "storage#object", "bucket": bucket, "name": name, "size": str(len(content)),
            "generation": str(generation), "metageneration": "1", "updated": updated,
            "timeCreated": updated, "etag": str(generation), "storageClass": "STANDARD",
        }  # fmt: skip

    def upload(self, folder: pathlib.Path, to: str) -> None:
        """Every file under a local folder, as objects below ``gs://bucket/prefix``."""
        bucket, _, prefix = to.removeprefix("gs://").partition("/")
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            self.put(bucket, f"{prefix}/{file.relative_to(folder).as_posix()}", file.read_bytes())

    def names(self, prefix: str) -> list[str]:
        """Objects below ``gs://bucket/prefix/``, by what follows it."""
        bucket, _, prefix = prefix.removeprefix("gs://").partition("/")
        found = sorted(self.buckets[bucket])
        return [n[len(prefix) + 1 :] for n in found if n.startswith(prefix + "/")]

    def read(self, path: str) -> bytes:
        bucket, _, name = path.removeprefix("gs://").partition("/")
        return self.buckets[bucket][name][0]


class _Refused(Exception):
    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def log_message(self, *_):
        pass

    def do_CONNECT(self):
        """A proxy's tunnel, whose other end is this server itself."""
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(ssl.SSLError, OSError):
            tunnel = self.server.tls.wrap_socket(self.connection, server_side=True)
            _Handler(tunnel, self.client_address, self.server)
        self.close_connection = True

    def do_GET(self):
        self._answer("GET")

    def do_POST(self):
        self._answer("POST")

    def do_PUT(self):
        self._answer("PUT")

    def do_DELETE(self):
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        # TensorFlow sends chunks, and the length as well.
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        length = int(self.headers.get("Content-Length") or 0)
        body = self._chunks() if chunked else self.rfile.read(length)
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        objects = self.server.objects
        with objects.lock:
            objects.asked.append(f"{method} {urllib.parse.unquote(self.path)}")
            try:
                status, headers, content = self._do(method, url.path, query, body)
            except _Refused as refused:
                status, headers = refused.status, {}  # 304 has no body
                error = {"error": {"code": status, "message": str(refused)}}
                content = b"" if status == 304 else json.dumps(error).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked is gone
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            if status not in (204, 304):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def _chunks(self) -> bytes:
        content = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _do(self, method: str, path: str, query: dict, body: bytes):
        if path.startswith("/session/"):
            return self._session(path.removeprefix("/session/"), body)
        found = re.fullmatch(
            r"(/upload|/download)?/storage/v1/b/([^/]+)(?:/(o)(?:/([^/]+)(?:/(\w+)/?(.*))?)?)?",
            path,
        )
        if not found:  # TensorFlow reads https://storage.googleapis.com/BUCKET/OBJECT
            bucket, _, name = path.removeprefix("/").partition("/")
            self._require(bucket)
            return self._media(bucket, urllib.parse.unquote(name))
        kind, bucket, is_object, name, verb, rest = found.groups()
        name = None if name is None else urllib.parse.unquote(name)
        self._require(bucket)
        if not is_object:
            return self._json({"kind": "storage#bucket", "name": bucket, "location": "NOWHERE"})
        if kind == "/upload" and bucket in self.server.objects.read_only:
            raise _Refused(403, f"somebody does not have storage.objects.create access to {bucket}")
        if kind == "/upload":
            return self._upload(bucket, name or query["name"], query, body)
        if name is None:
            return self._json(self._list(bucket, query))
        if verb == "rewriteTo":
            _, to_bucket, _, to_name = rest.split("/", 3)
            content, _ = self._found(bucket, name)
            about = self.server.objects.put(to_bucket, urllib.parse.unquote(to_name), content)
            size = str(len(content))
            done = {"done": True, "totalBytesRewritten": size, "objectSize": size}
            return self._json(done | {"resource": about})
        self._found(bucket, name)
        if method == "DELETE":
            self._precondition(bucket, name, query)
            del self.server.objects.buckets[bucket][name]
            return 204, {}, b""
        self._precondition(bucket, name, query)
        if query.get("alt") == "media":
            return self._media(bucket, name)
        return self._json(self.server.objects.about(bucket, name))

    def _json(self, value: dict):
        return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()

    def _require(self, bucket: str) -> None:
        if bucket in self.server.objects.denied:
            raise _Refused(403, f"somebody does not have storage.objects access to {bucket}")
        if bucket not in self.server.objects.buckets:
            raise _Refused(404, "The specified bucket does not exist.")

    def _found(self, bucket: str, name: str) -> tuple[bytes, int]:
        try:
            return self.server.objects.buckets[bucket][name]
        except KeyError:
            raise _Refused(404, f"No such object: {bucket}/{name}") from None

    def _precondition(self, bucket: str, name: str, query: dict) -> None:
        _, generation = self.server.objects.buckets[bucket].get(name, (b"", 0))
        wanted, unwanted = query.get("ifGenerationMatch"), query.get("ifGenerationNotMatch")
        if wanted is not None and int(wanted) != generation:
            raise _Refused(412, "precondition failed")
        if unwanted is not None and int(unwanted) == generation:
            raise _Refused(304, "not modified")

    def _media(self, bucket: str, name: str):
        content, generation = self._found(bucket, name)
        headers = {"x-goog-generation": str(generation), "ETag": str(generation)}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if not wanted:
            return 200, headers, content
        first, last = wanted.groups()
        start = int(first) if first else max(0, len(content) - int(last))
        stop = min(int(last) + 1 if first and last else len(content), len(content))
        if start >= len(content):
            raise _Refused(416, "range not satisfiable")
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        return 206, headers, content[start:stop]

    def _list(self, bucket: str, query: dict) -> dict:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        names = [n for n in sorted(self.server.objects.buckets[bucket]) if n.startswith(prefix)]
        names = [n for n in names if n >= query.get("startOffset", "")]
        if "endOffset" in query:
            names = [n for n in names if n < query["endOffset"]]
        items, prefixes = [], []
        for name in names:
            head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found:
                prefixes.append(prefix + head + delimiter)
            else:
                items.append(self.server.objects.about(bucket, name))
        at, most = int(query.get("pageToken", 0)), int(query.get("maxResults", 1000))
        entries = [*dict.fromkeys(prefixes), *items]
        page = entries[at : at + most]
        found = {
            "kind": "storage#objects",
            "items": [e for e in page if not isinstance(e, str)],
            "prefixes": [e for e in page if isinstance(e, str)],
        }
        more = {"nextPageToken": str(at + most)} if at + most < len(entries) else {}
        return {k: v for k, v in found.items() if v} | more

    def _upload(self, bucket: str, name: str, query: dict, body: bytes):
        if query.get("uploadType") == "resumable":
            key = str(next(self.server.objects.generations))
            self.server.objects.sessions[key] = bucket, name, bytearray()
            scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
            return 200, {"Location": f"{scheme}://{self.headers['Host']}/session/{key}"}, b""
        self._precondition(bucket, name, query)
        return self._json(self.server.objects.put(bucket, name, body))

    def _session(self, key: str, body: bytes):
        bucket, name, held = self.server.objects.sessions[key]
        total = (self.headers.get("Content-Range") or "/*").rpartition("/")[2]
        held += body
        if total not in ("*", str(len(held))):
            return 308, {"Range": f"bytes=0-{len(held) - 1}"} if held else {}, b""
        return self._json(self.server.objects.put(bucket, name, held))


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    objects: Objects
    tls: ssl.SSLContext


@contextlib.contextmanager
def serve(objects: Objects, folder: pathlib.Path) -> Iterator[dict[str, str]]:
    """Serves; gives the environment variables that lead the clients of a process here."""
    authority = trustme.CA()
    certificate = authority.issue_cert("www.googleapis.com", "storage.googleapis.com")
    server = _Server(("127.0.0.1", 0), _Handler)
    server.objects = objects
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(server.tls)
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {
            "https_proxy": address,  # TensorFlow
            "CURL_CA_BUNDLE": str(folder / "authority.pem"),
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "somebody",
            "NO_GCE_CHECK": "true",
            "TENSORSTORE_GCS_HTTP_URL": address,  # Orbax
            "STORAGE_EMULATOR_HOST": address,  # google-cloud-storage
        }
    finally:
        server.shutdown()
        server.server_close()
