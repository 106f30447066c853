"""Names of runs in the room there is. What all of them share is left out and said once; the
fingerprint, by which `pruneexp show` finds a run, stays."""

from collections.abc import Sequence

DIGITS = 8  # of a fingerprint, which has twelve


def fitted(names: Sequence[str], room: int) -> tuple[list[str], str]:
    """The names as they are if they fit, else short ones, and what was left out of all of them.

        fitted(["a-x-0123456789ab", "a-y-ba9876543210"], 12) == (["x-01234567", "y-ba987654"], "a")

    Arguments:
        room: columns for the longest.
    """
    if max(map(len, names), default=0) <= room:
        return list(names), ""
    split = [name.split("-") for name in names]
    first = split[0][:-1] if len(split) > 1 else []
    shared = [word for word in first if all(word in words for words in split)]
    short = ["-".join([*(w for w in s[:-1] if w not in shared), s[-1][:DIGITS]]) for s in split]
    return [_cut(name, room) for name in short], "-".join(shared)


def _cut(name: str, room: int) -> str:
    """Without its beginning where that is too long: the end tells runs apart."""
    return name if len(name) <= room else f"…{name[len(name) - room + 1 :]}"
