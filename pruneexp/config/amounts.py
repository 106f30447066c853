"""Amounts as people type them: 200kB, 1.5 MB, 50k. Read into whole numbers and written back."""

import re
from fractions import Fraction

BYTES = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
COUNTS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
AMOUNT = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([a-zA-Z]*)\s*")


def bytes_of(text: str) -> int:
    """How many bytes a text says, rounded down.

        bytes_of("200kB") == 200_000

    Raises ValueError with what it takes.
    """
    return _read(text, BYTES, "200kB, 1.5MB or 64KiB")


def count_of(text: str) -> int:
    """How many weights a text says: `count_of("50k") == 50_000`. Raises ValueError likewise."""
    return _read(text, COUNTS, "50k, 1.2M or 50000")


def bytes_in_words(amount: int) -> str:
    """Bytes as `bytes_of` reads them, always the same for one number: 200kB, 1.5MB, 65536B."""
    return _written(amount, {unit: BYTES[unit] for unit in ("MB", "kB", "B")})


def count_in_words(amount: int) -> str:
    """A number of weights as `count_of` reads it: 50k, 1.2M, 12345."""
    return _written(amount, {unit: COUNTS[unit] for unit in ("M", "k", "")})


def _read(text: str, units: dict[str, int], such_as: str) -> int:
    found = AMOUNT.fullmatch(text)
    known = {unit.lower(): size for unit, size in units.items()}
    if found is None or found[2].lower() not in known:
        raise ValueError(f"takes an amount such as {such_as}, got {text or 'nothing'}")
    amount = int(Fraction(found[1]) * known[found[2].lower()])
    if amount < 1:
        raise ValueError(f"takes an amount above 0, got {text}")
    return amount


def _written(amount: int, units: dict[str, int]) -> str:
    """In the largest unit in which it takes no more than three decimals and one digit before."""
    for unit, size in units.items():
        if amount >= size and (1000 * amount) % size == 0:
            whole, rest = divmod(1000 * amount // size, 1000)
            decimals = f".{rest:03}".rstrip("0").rstrip(".")
            return f"{whole}{decimals}{unit}"
    return f"{amount}B" if "B" in units else str(amount)
