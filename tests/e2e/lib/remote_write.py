"""Remote write 1.0 from a test: a protobuf message in a snappy block, without libraries."""

import struct

from .web import post


def _varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _field(number, value):
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def encode(series, metadata=()):
    """`series`: [(labels as a dict, [(milliseconds, value)])]; `metadata`: [(type number, family, help)]."""
    out = b""
    for labels, samples in series:
        part = b"".join(_field(1, _field(1, n.encode()) + _field(2, v.encode())) for n, v in sorted(labels.items()))
        part += b"".join(_field(2, b"\x09" + struct.pack("<d", v) + b"\x10" + _varint(t)) for t, v in samples)
        out += _field(1, part)
    for kind, family, text in metadata:
        out += _field(3, b"\x08" + _varint(kind) + _field(2, family.encode()) + _field(4, text.encode()))
    return out


def block(message):
    """The message as a snappy block of literals: valid, only not short."""
    out = _varint(len(message))
    for at in range(0, len(message), 65536):
        piece = message[at:at + 65536]
        out += b"\xf4" + struct.pack("<H", len(piece) - 1) + piece
    return out


def push(url, series, metadata=(), timeout=30, **headers):
    """Pushes to a node's /api/v1/write; raises web.Failed for what is not 2xx."""
    named = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
             "X-Prometheus-Remote-Write-Version": "0.1.0", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return post(url + "/api/v1/write", block(encode(series, metadata)), timeout, named)
