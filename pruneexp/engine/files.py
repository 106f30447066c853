"""Writing so that a kill leaves nothing half-written, and reading so that damage is noticed."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any


class Damaged(Exception):
    """A file that is not what was once written."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"{path} is damaged: {why}")


class NotFound(Exception):
    """Something asked for by name that is not there."""


class CannotWrite(OSError):
    """A file or folder that cannot be written, said with the remedy.

    Arguments:
        path: what cannot be written.
        reason: what the system says.
        option: which option or key says where it is written.
    """

    def __init__(self, path: Path, reason: str, option: str = "results=...") -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"{path} cannot be written ({reason}). Free space or choose another folder ({option}), "
            "then start again: what is finished is kept."
        )


def save_bytes(path: Path, *parts: bytes) -> None:
    """Replace `path` by `parts`, wholly or not at all. Raises `CannotWrite` with the remedy."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise CannotWrite(path, error.strerror or str(error)) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_checked(path: Path, payload: bytes) -> None:
    """Write `payload` behind its own SHA-256."""
    save_bytes(path, hashlib.sha256(payload).digest(), payload)


def load_checked(path: Path) -> bytes:
    """What `save_checked` was given. Raises `Damaged`."""
    data = path.read_bytes()
    stated, payload = data[:32], data[32:]
    if hashlib.sha256(payload).digest() != stated:
        raise Damaged(path, "its checksum does not fit its content")
    return payload


CHECKSUM = b'\n "checksum": "'  # what follows the data in a file of JSON


def save_json(path: Path, data: dict[str, Any]) -> None:
    """Write plain data, readable by eye, with a checksum over the text before it."""
    save_bytes(path, *json_parts(data))


def json_parts(data: dict[str, Any]) -> tuple[bytes, bytes]:
    """The bytes of such a file: the data, and the checksum that closes it."""
    text = json.dumps(data, indent=1, allow_nan=False).encode()
    body = text.removesuffix(b"\n}") + b"," if data else b"{"
    return body, CHECKSUM + checksum(body).encode() + b'"\n}\n'


MOST_BYTES = 64 * 10**6  # of a file that is read whole, unless its reader says otherwise


def load_bytes(path: Path, *, most_bytes: int = MOST_BYTES) -> bytes:
    """A file's content. Raises `Damaged` for one that is longer than such a file ever is, before it
    is read, and OSError where it cannot be read."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most_bytes:
            why = f"it has {size:,} bytes, and such a file has at most {most_bytes:,}"
            raise Damaged(path, why)
        return file.read(most_bytes)


def load_json(path: Path, *, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """What `save_json` was given. Raises `Damaged`, and OSError where it cannot be read."""
    content = load_bytes(path, most_bytes=most_bytes)
    body, _, end = content.rpartition(CHECKSUM)
    stated = end[:64].decode("ascii", "replace")
    try:
        data = json.loads(content)
        if not isinstance(data, dict):
            raise ValueError("no dictionary")
        claimed = data.pop("checksum")
    except (ValueError, KeyError, RecursionError) as error:
        raise Damaged(path, f"not the JSON that was written ({error})") from error
    if checksum(body) == stated == claimed:
        return data
    if claimed == _earlier_checksum(data):
        raise Damaged(path, "an earlier version of pruneexp wrote it; make it again with this one")
    raise Damaged(path, "its checksum does not fit its content")


def _earlier_checksum(data: dict[str, Any]) -> str:
    try:
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return ""
    return checksum(text.encode())


def size_of(path: Path) -> int:
    """The bytes of a file; 0 of what is no file, or has just gone."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def checksum(payload: bytes) -> str:
    """The SHA-256 of bytes, as 64 hex digits."""
    return hashlib.sha256(payload).hexdigest()


def checksum_of(path: Path) -> str:
    """The SHA-256 of a file, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
