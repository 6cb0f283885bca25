"""Small HTTP client: short timeouts, no proxies, errors with the body that explains them."""

import http.client
import json
import re
import socket
import urllib.error
import urllib.parse
import urllib.request

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(OSError):
    """An answer that is not 2xx; `status`, `body`."""

    def __init__(self, url, status, body):
        super().__init__(f"{url}: HTTP {status}: {body[:500]}")
        self.status = status
        self.body = body


def _open(request, timeout):
    try:
        with _opener.open(request, timeout=timeout) as answer:
            return answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as e:
        raise Failed(request.full_url, e.code, e.read().decode("utf-8", "replace")) from None
    except http.client.HTTPException as e:  # cut off in the middle, garbage
        raise OSError(f"{request.full_url}: {e!r}") from None


def _with(url, params):
    return url + ("?" + urllib.parse.urlencode(params, doseq=True) if params else "")


def get(url, timeout=5.0, headers=None, **params):
    """The body as text. `params` go into the query; a list repeats its key. Raises OSError."""
    return _open(urllib.request.Request(_with(url, params), headers=headers or {}), timeout)


def post(url, body=b"", timeout=5.0, headers=None, **params):
    request = urllib.request.Request(_with(url, params), data=body, headers=headers or {}, method="POST")
    return _open(request, timeout)


def get_json(url, timeout=5.0, **params):
    return json.loads(get(url, timeout, **params))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def get_unix(path, target, timeout=5.0, **params):
    """The body of an answer over a Unix socket: reaches a process in another network namespace too."""
    connection = _UnixConnection(path, timeout)
    try:
        connection.request("GET", _with(target, params))
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
    except http.client.HTTPException as e:
        raise OSError(f"{path}: {e!r}") from None
    finally:
        connection.close()
    if answer.status >= 300:
        raise Failed(target, answer.status, body)
    return body


_line = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})?\s+(\S+)")


def metrics(url, timeout=5.0):
    """What /metrics at `url` says: {series text: value}."""
    return parse_metrics(get(url, timeout))


def parse_metrics(text):
    out = {}
    for line in text.splitlines():
        match = _line.match(line)
        if match:
            out[match[1] + (match[2] or "")] = float(match[3])
    return out


def metric(url, name, where="", timeout=5.0):
    """The sum over all series called `name` whose labels contain the text `where`. KeyError where none is."""
    return sum_of(metrics(url, timeout), name, where, url)


def sum_of(all_metrics, name, where="", whose="it"):
    found = [v for k, v in all_metrics.items() if k.split("{")[0] == name and where in k]
    if not found:
        raise KeyError(f"{whose} has no {name} {where}")
    return sum(found)
