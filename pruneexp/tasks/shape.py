"""What a task hands to a model, and what it wants back: known without any data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageShape:
    """What an image task hands to a model, and how many classes it wants back."""

    channels: int
    pixels: int
    classes: int


@dataclass(frozen=True, slots=True)
class TextShape:
    """What a text task hands to a model: words of a vocabulary, one after the other."""

    vocabulary: int


Shape = ImageShape | TextShape
