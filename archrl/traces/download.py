"""Download of one file over HTTP: resumed, retried, checked against size and SHA-256, renamed into place when right."""

from __future__ import annotations

import errno
import hashlib
import http.client
import ipaddress
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar, cast
from urllib.parse import urlsplit

from archrl.errors import ConfigError, TraceError

Consumed = TypeVar("Consumed")

CHUNK_BYTES = 1 << 16
_RETRIED_STATUS = frozenset({408, 416, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Retry:
    """How often and how patiently a file is tried."""

    attempts: int = 5
    backoff_s: float = 1.0  # before the second attempt; doubled before each further one
    timeout_s: float = 30.0  # without a byte from the server
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Expected:
    """What the file must be."""

    size_bytes: int
    sha256: str


class _TryAgainError(Exception):
    """This attempt failed; the next one may not."""


def check_url(url: str) -> str:
    """The URL itself if it may be fetched: https anywhere, http to this computer only.

    Raises:
        ConfigError: For every other address.
    """
    parts = urlsplit(url)
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))):
        return url
    raise ConfigError(f"url {url!r}: allowed are https://... and, to this computer only, http://127.0.0.1:PORT/...")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to an address that `check_url` allows."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        return super().redirect_request(req, fp, code, msg, headers, check_url(newurl))


def download_file(
    url: str, target: Path, expected: Expected, retry: Retry, on_position: Callable[[int], None] | None = None
) -> None:
    """Put the file at `url` to `target`, whole and checked, or not at all.

    Bytes gather in `<target>.part`, which stays behind when the download is interrupted: the next call asks the
    server for the rest only.

    Args:
        url: Address, as `check_url` allows.
        target: Final path; its folder exists.
        expected: Size and SHA-256 of the right content.
        retry: Number of attempts and pauses.
        on_position: Called with the number of bytes that `<target>.part` has.

    Raises:
        ConfigError: If the address is not allowed.
        TraceError: If the server refuses, does not deliver after all attempts, or delivers something else, or the
            bytes cannot be written.
    """
    check_url(url)
    part = target.with_name(f"{target.name}.part")
    report = on_position or (lambda _: None)
    for attempt in range(retry.attempts):
        if attempt:
            retry.sleep(retry.backoff_s * 2 ** (attempt - 1))
        try:
            resumed = _transfer(url, part, expected.size_bytes, retry.timeout_s, report)
            _check_content(url, part, expected, resumed)
        except _TryAgainError as error:
            reason = str(error)
            continue
        os.replace(part, target)
        return
    raise TraceError(
        f"{url}: {reason}; gave up after {retry.attempts} attempts. What has arrived is kept: run the command again "
        "later, or name a mirror with --base-url"
    )


def download_stream(url: str, consume: Callable[[IO[bytes]], Consumed], retry: Retry) -> Consumed:
    """Give the body at `url` to `consume`, from the start again when it does not arrive whole.

    For archives that a server packs when it is asked, of which neither size nor checksum is known beforehand: the
    caller has to check what `consume` returns.

    Args:
        url: Address, as `check_url` allows.
        consume: Reads the stream; raises EOFError where it is damaged or ends early.
        retry: Number of attempts and pauses.

    Returns:
        What `consume` returns.

    Raises:
        ConfigError: If the address is not allowed.
        TraceError: If the server refuses, or does not deliver after all attempts.
    """
    check_url(url)
    for attempt in range(retry.attempts):
        if attempt:
            retry.sleep(retry.backoff_s * 2 ** (attempt - 1))
        try:
            with _open(url, 0, retry.timeout_s) as response:
                return consume(cast("IO[bytes]", _Body(response)))
        except _TryAgainError as error:
            reason = str(error)
        except EOFError as error:
            reason = f"what arrives is damaged or ends early ({error})"
    raise TraceError(
        f"{url}: {reason}; gave up after {retry.attempts} attempts. Run the command again later, or name a mirror with "
        "--base-url"
    )


class _Body:
    """The body of a response; a broken connection is an attempt that failed."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response

    def read(self, size: int = -1) -> bytes:
        try:
            return self._response.read(None if size < 0 else size)
        except (OSError, http.client.HTTPException) as error:
            raise _TryAgainError(f"the connection broke ({error})") from error


def _transfer(url: str, part: Path, size_bytes: int, timeout_s: float, report: Callable[[int], None]) -> bool:
    """Bring `part` to its full size; whether bytes of an earlier transfer are in it."""
    have = part.stat().st_size if part.exists() else 0
    if have > size_bytes:
        part.unlink()
        have = 0
    report(have)
    if have == size_bytes and have > 0:
        return True
    with _open(url, have, timeout_s) as response:
        start = _start_of_body(response, have)
        if start not in (0, have):
            part.unlink(missing_ok=True)
            raise _TryAgainError(f"the server answered from byte {start}, asked was {have}")
        _receive(response, part, start, size_bytes, report)
    if part.stat().st_size < size_bytes:
        raise _TryAgainError(f"the connection ended after {part.stat().st_size} of {size_bytes} bytes")
    return start > 0


def _open(url: str, have: int, timeout_s: float) -> http.client.HTTPResponse:
    handlers: list[urllib.request.BaseHandler] = [_CheckedRedirects()]
    if urlsplit(url).scheme == "http":
        handlers.append(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response: http.client.HTTPResponse = urllib.request.build_opener(*handlers).open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _RETRIED_STATUS:
            raise _TryAgainError(f"the server answered {error.code} {error.reason}") from error
        raise TraceError(
            f"{url}: the server answered {error.code} {error.reason}; check the address, or name a mirror with "
            "--base-url"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgainError(f"no answer ({error})") from error
    return response


def _start_of_body(response: http.client.HTTPResponse, have: int) -> int:
    """Position in the file of the first byte of the body."""
    if response.status != 206:
        return 0
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else have


def _receive(
    response: http.client.HTTPResponse, part: Path, start: int, size_bytes: int, report: Callable[[int], None]
) -> None:
    position = start
    try:
        with part.open("ab" if start else "wb") as file:
            while chunk := _read(response):
                position += len(chunk)
                if position > size_bytes:
                    break
                file.write(chunk)
                report(position)
    except OSError as error:
        raise disk_error(part, error) from error
    if position > size_bytes:
        part.unlink()
        raise TraceError(f"more than the {size_bytes} bytes of the original arrive for {part.stem}: {changed()}")


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgainError(f"the connection broke ({error})") from error


def _check_content(url: str, part: Path, expected: Expected, resumed: bool) -> None:
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found == expected.sha256:
        return
    part.unlink()
    problem = f"SHA-256 is {found}, the original has {expected.sha256}"
    if resumed:
        raise _TryAgainError(problem)
    raise TraceError(f"{url}: {problem}: {changed()}")


def changed() -> str:
    """What to do about content that is not the original."""
    return "the file upstream has changed or is altered on the way; nothing is installed. Name a mirror with --base-url"


def disk_error(path: Path, error: OSError) -> TraceError:
    """The error of a file that cannot be written, with what to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TraceError(
            f"{path}: disk full; free space, or choose another folder with --root, and run the command again: it "
            "continues where it stopped"
        )
    return TraceError(f"{path}: cannot be written ({error.strerror or error}); choose another folder with --root")
