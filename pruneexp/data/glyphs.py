"""Small grey pictures of letters and digits, drawn with the fonts that matplotlib ships.

Each picture is one of 47 characters in one of some 16 faces, turned, sheared, scaled, shifted, with
its own contrast, sometimes inverted, under noise. They follow from the seed; what was drawn is kept
on disk, and its checksum goes into every record, since other versions of the font renderer may draw
other pictures.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

from pruneexp import seeds
from pruneexp.engine import files

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abdefghnqrt"  # capitals and what differs from them
PIXELS = 24
FACES = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique"),
    *("DejaVuSansMono-BoldOblique", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    *("DejaVuSerif-BoldItalic", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic"),
    "STIXGeneralBolIta",
)
SOURCE = 64  # pixels of the picture a character is first drawn into
VERSION = 1  # of the drawing below; another one is another cache file

Arrays = tuple[np.ndarray, np.ndarray]  # pictures (n, 24, 24) and labels (n,), both uint8


def load(
    cache: Path, *, seed: int, train: int, valid: int, test: int
) -> tuple[dict[str, Arrays], str]:
    """The three splits and a checksum over them, from the cache or drawn."""
    counts = {"train": train, "valid": valid, "test": test}
    path = cache / f"glyphs-v{VERSION}-{seed}-{train}-{valid}-{test}.bin"
    splits = _read(path, counts)
    if splits is None:
        splits = {name: draw(seed, name, count) for name, count in counts.items()}
        files.save_checked(
            path, b"".join(array.tobytes() for arrays in splits.values() for array in arrays)
        )
    content = hashlib.sha256()
    for arrays in splits.values():
        for array in arrays:
            content.update(array.tobytes())
    return splits, content.hexdigest()


def _read(path: Path, counts: dict[str, int]) -> dict[str, Arrays] | None:
    if not path.exists():
        return None
    try:
        data = np.frombuffer(files.load_checked(path), np.uint8)
        if len(data) != sum(counts.values()) * (PIXELS * PIXELS + 1):
            raise files.Damaged(path, "it has another length")
    except files.Damaged as error:
        print(f"{error}; drawing the pictures again", file=sys.stderr)
        return None
    splits = {}
    for name, count in counts.items():
        pictures, labels, data = np.split(data, [count * PIXELS**2, count * (PIXELS**2 + 1)])
        splits[name] = (pictures.reshape(count, PIXELS, PIXELS), labels)
    return splits


def draw(seed: int, split: str, count: int) -> Arrays:
    """`count` pictures of one split and their labels."""
    from PIL import Image

    sources = _sources()
    random = seeds.generator(seed, f"glyphs {split}")
    labels = random.integers(len(ALPHABET), size=count)
    faces = random.integers(len(FACES), size=count)
    maps = _maps(random, count)
    pictures = np.empty((count, PIXELS, PIXELS), np.float32)
    for index in range(count):
        picture = sources[faces[index]][labels[index]].transform(
            (PIXELS, PIXELS),
            Image.Transform.AFFINE,
            maps[index].tolist(),
            Image.Resampling.BILINEAR,
        )
        pictures[index] = picture
    pictures /= 255
    ink = random.uniform(0.35, 1.0, (count, 1, 1)).astype(np.float32)
    paper = random.uniform(0.0, 1.0, (count, 1, 1)).astype(np.float32) * (1 - ink)
    pictures = paper + ink * pictures
    inverted = random.random(count) < 0.3
    pictures[inverted] = 1 - pictures[inverted]
    strength = random.uniform(0.02, 0.2, (count, 1, 1)).astype(np.float32)
    pictures += strength * random.standard_normal(pictures.shape, np.float32)
    return (
        (pictures.clip(0, 1) * 255 + 0.5).astype(np.uint8),
        labels.astype(np.uint8),
    )


def _maps(random: np.random.Generator, count: int) -> np.ndarray:
    """For each picture the affine map from its pixels back to the source's, as Pillow wants it."""
    angle = np.deg2rad(random.uniform(-25, 25, count))
    shear = random.uniform(-0.35, 0.35, count)
    across, down = random.uniform(0.65, 1.15, (2, count))
    shift = random.uniform(-3, 3, (2, count))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    lean = np.array([[np.ones(count), shear], [np.zeros(count), np.ones(count)]])
    size = np.array([[across, np.zeros(count)], [np.zeros(count), down]]) * (PIXELS / SOURCE)
    forward = np.einsum("ijn,jkn,kln->nil", turn, lean, size)
    back = np.linalg.inv(forward)
    offset = SOURCE / 2 - np.einsum("nij,jn->ni", back, PIXELS / 2 + shift)
    return np.concatenate([back[:, 0], offset[:, :1], back[:, 1], offset[:, 1:]], axis=1)


def _sources() -> list[list]:
    """Each character of each face, white on black in the middle of a larger picture."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    sources = []
    for face in FACES:
        font = ImageFont.truetype(
            str(folder / f"{face}.ttf"), 44, layout_engine=ImageFont.Layout.BASIC
        )
        row = []
        for character in ALPHABET:
            picture = Image.new("L", (SOURCE, SOURCE))
            ImageDraw.Draw(picture).text(
                (SOURCE / 2, SOURCE / 2), character, 255, font, anchor="mm"
            )
            row.append(picture)
        sources.append(row)
    return sources
