"""Reading an answer within bounds.

`http.client` bounds each header line and allows a hundred of them; the contract bounds them
together. So the head is read here, and the body by `http.client` as ever.
"""

from __future__ import annotations

import http.client
import re
import zlib
from dataclasses import dataclass
from typing import Any

from requests.structures import CaseInsensitiveDict

from .errors import AnswerTooLarge
from .watch import BytesExceeded, Watch

MAX_HEADER_LINES = 100
MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024
MAX_TEXT = 5000
# What chunk sizes, trailers and compression that yields nothing may cost besides the body.
MAX_WIRE_BYTES = 1024 * 1024
_BUFFER = 16 * 1024

_STATUS_LINE = re.compile(rb"HTTP/1\.([01])[ \t]+([1-9][0-9][0-9])(?:[ \t]([^\r\n]*))?\r?\n")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DIGITS = re.compile(r"[0-9]{1,18}")
# Charsets that decode in linear time; some of Python's others do not.
_CHARSET = re.compile(
    r"utf-?8|utf-?16(le|be)?|us-ascii|iso-8859-\d{1,2}|windows-125\d|koi8-[ru]|"
    r"shift_jis|euc-(jp|kr)|gb(k|2312|18030)|big5"
)


class BoundedResponse(http.client.HTTPResponse):
    """An answer whose head has at most 100 header lines and 64 KiB, interim answers included."""

    _method: str | None

    def begin(self) -> None:
        """Read the status line and the headers.

        Raises AnswerTooLarge beyond the bounds, http.client.BadStatusLine or HTTPException
        for what is no HTTP.
        """
        reader = _HeadReader(self.fp)
        while True:
            self.version, status, self.reason = reader.read_status()
            lines = reader.read_lines()
            if not 100 <= status < 200 or status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                break
        self.code = self.status = status
        fields, broken = parse_fields(lines)
        self.headers = fields  # type: ignore[assignment]
        self._frame_body(broken)

    def _frame_body(self, broken: bool) -> None:
        """Decide where the body ends (RFC 9112 §6.3) and whether the connection lives on."""
        coding = self.headers.get("transfer-encoding")
        self.chunked = coding is not None and coding.strip().lower() == "chunked"
        self.chunk_left = None
        self.length = None if coding is not None else self._read_length()
        no_body = self.status in {101, 204, 304} or self._method == "HEAD"
        if no_body:
            self.length = 0
            self.chunked = False
        unframed = not self.chunked and self.length is None
        # Two framings, or broken header lines, leave in doubt where the next answer begins.
        doubtful = broken or (coding is not None and "content-length" in self.headers)
        self.will_close = (
            unframed or doubtful or self.status == 101 or self._check_close()  # type: ignore[attr-defined]
        )

    def _read_length(self) -> int | None:
        given = self.headers.get("content-length")
        if given is None:
            return None
        values = {value.strip() for value in given.split(",")}
        if len(values) > 1 or not _DIGITS.fullmatch(next(iter(values))):
            raise http.client.HTTPException("unreadable Content-Length")
        return int(values.pop())


class Fields(CaseInsensitiveDict[str]):
    """Header fields by name in any case; looked up without the detours of requests' own."""

    _store: dict[str, tuple[str, str]]

    def add(self, name: str, value: str) -> None:
        """One more field; a repeated one is joined by a comma."""
        lower = name.lower()
        known = self._store.get(lower)
        self._store[lower] = (name, value) if known is None else (name, f"{known[1]}, {value}")

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or the default."""
        known = self._store.get(key.lower())
        return default if known is None else known[1]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._store


def parse_fields(lines: list[bytes]) -> tuple[Fields, bool]:
    """The header fields, repeated ones joined by a comma, and whether any line was no field.

    A folded line continues the one before it (RFC 9112 §5.2); a line that is none is left out.
    """
    pairs: list[list[str]] = []
    broken = False
    for line in lines:
        text = line.decode("iso-8859-1").rstrip("\r\n")
        name, colon, value = text.partition(":")
        if text[:1] in {" ", "\t"} and pairs:
            pairs[-1][1] += " " + text.strip(" \t")
        elif colon and _TOKEN.fullmatch(name):
            pairs.append([name, value.strip(" \t")])
        else:
            broken = True
    fields = Fields()
    for name, value in pairs:
        fields.add(name, value)
    return fields, broken


class _HeadReader:
    """Reads lines of the head and counts them and their bytes."""

    def __init__(self, stream: object) -> None:
        self._readline = stream.readline  # type: ignore[attr-defined]
        self._bytes_left = MAX_HEAD_BYTES
        self._lines_left = MAX_HEADER_LINES

    def read_status(self) -> tuple[int, int, str]:
        line = self._read_line()
        if not line:
            raise http.client.RemoteDisconnected("closed the connection without an answer")
        found = _STATUS_LINE.fullmatch(line)
        if found is None:
            raise http.client.BadStatusLine("not an HTTP answer")
        minor, status, reason = found.groups()
        return 10 + int(minor), int(status), (reason or b"").decode("iso-8859-1").strip()

    def read_lines(self) -> list[bytes]:
        """The header lines, up to the empty line that ends them."""
        lines: list[bytes] = []
        while True:
            line = self._read_line()
            if not line.endswith(b"\n"):
                raise http.client.HTTPException("closed the connection within the headers")
            if line in {b"\r\n", b"\n"}:
                return lines
            lines.append(line)
            self._lines_left -= 1
            if self._lines_left < 0:
                raise AnswerTooLarge(f"answer has over {MAX_HEADER_LINES} header lines", sent=True)

    def _read_line(self) -> bytes:
        line: bytes = self._readline(self._bytes_left + 1)
        self._bytes_left -= len(line)
        if self._bytes_left < 0:
            raise AnswerTooLarge(f"answer has over {MAX_HEAD_BYTES // 1024} KiB of headers", sent=True)
        return line


@dataclass(frozen=True, kw_only=True)
class Body:
    """What was kept of a body: decoded text, and whether anything was left out of it."""

    text: str
    truncated: bool


def read_body(response: BoundedResponse, watch: Watch) -> Body:
    """Read at most 64 KiB (decoded) and keep 5,000 characters; more is no error.

    Text that is not in its charset, and NUL, is replaced by U+FFFD. A body in a coding that
    was not asked for is unpacked within the same bound (gzip and deflate) or left out.
    Raises http.client.IncompleteRead for a body cut short.
    """
    watch.allow(MAX_WIRE_BYTES)
    unpack = _choose_decoder(response.headers.get("content-encoding", ""))
    if unpack is None:
        return Body(text="", truncated=True)
    kept: list[bytes] = []
    size = 0
    whole = False
    try:
        while size <= MAX_BODY_BYTES and not whole:
            piece = response.read(_BUFFER)
            whole = not piece
            data = unpack.decode(piece, MAX_BODY_BYTES + 1 - size)
            kept.append(data)
            size += len(data)
            whole = whole or response.isclosed()
        if whole and response.length:
            raise http.client.IncompleteRead(b"", response.length)
    except BytesExceeded:
        whole = False
    except zlib.error:
        kept, whole = [], False
    data = b"".join(kept)[:MAX_BODY_BYTES]
    text = _decode_text(data, response.headers.get("content-type", ""))
    return Body(text=text[:MAX_TEXT], truncated=not whole or size > MAX_BODY_BYTES or len(text) > MAX_TEXT)


class _Plain:
    def decode(self, piece: bytes, limit: int) -> bytes:
        return piece[:limit]


class _Unpacked:
    """gzip, zlib or raw deflate, never more than `limit` bytes at a time."""

    def __init__(self, *, window: int) -> None:
        self._window = window
        self._stream = zlib.decompressobj(window)

    def decode(self, piece: bytes, limit: int) -> bytes:
        return self._stream.decompress(piece, limit)


def _choose_decoder(coding: str) -> _Plain | _Unpacked | None:
    name = coding.strip().lower()
    if name in {"", "identity"}:
        return _Plain()
    if name in {"gzip", "x-gzip"}:
        return _Unpacked(window=16 + zlib.MAX_WBITS)
    if name == "deflate":
        return _Unpacked(window=zlib.MAX_WBITS)
    return None


def _decode_text(data: bytes, content_type: str) -> str:
    found = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", content_type, re.IGNORECASE)
    charset = found[1].lower() if found else "utf-8"
    if not _CHARSET.fullmatch(charset):
        charset = "utf-8"
    return data.decode(charset, errors="replace").replace("\x00", "\ufffd")
