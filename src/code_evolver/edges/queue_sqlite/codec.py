"""What the queue file holds as bytes: JSON, and the keys under which ids, contents and refusals are remembered."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from code_evolver.core.strict_json import encoder
from code_evolver.core.task import Refusal

_encode = encoder(ascii_only=False, nan=True, default=dict)


def as_json(value: Any) -> bytes:
    """Write compact JSON; what Python's json can read comes back (infinite numbers and lone surrogates included)."""
    return _encode(value).encode("utf-8", "surrogatepass")


def _from_json(stored: bytes) -> Any:
    """Read what as_json wrote; None where a disk changed it."""
    try:
        return json.loads(stored.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None


def id_key(identifier: str) -> bytes:
    """Give the 16 bytes under which an id is remembered."""
    return hashlib.blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def digest_key(digest: str) -> bytes:
    """Give the 16 bytes under which a content is remembered (of 64 hex digits, or of any text)."""
    try:
        return bytes.fromhex(digest)[:16]
    except ValueError:
        return id_key(digest)


def refusal_key(refusal: Refusal) -> bytes:
    """Give what makes two refused elements one dead letter: the bytes; where none were kept, id and reason."""
    seed = refusal.raw or b"\0" + as_json([refusal.id, refusal.reason])
    return hashlib.blake2b(seed, digest_size=16).digest()


def object_from(stored: bytes) -> Mapping[str, Any] | None:
    """Read a stored object; None where it can be read no more."""
    found = _from_json(stored)
    return found if isinstance(found, dict) else None


def drafts_from(stored: bytes | None) -> Sequence[Mapping[str, Any]]:
    """Read the drafts of a dead letter; none where they can be read no more."""
    found = _from_json(stored) if stored else None
    return tuple(draft for draft in found if isinstance(draft, dict)) if isinstance(found, list) else ()
