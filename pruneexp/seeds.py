"""Every random draw of a run, from (seed, purpose, position).

No generator's state is ever saved. Random numbers are derived from what they are
for and where they stand, so that a resumed run draws what the uninterrupted one would have drawn.
"""

import hashlib

import numpy as np


def draw(seed: int, purpose: str, *position: int) -> int:
    """A 63-bit seed for one purpose at one position; unrelated for any other."""
    text = "/".join([str(seed), purpose, *map(str, position)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, *position: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(draw(seed, purpose, *position)))
