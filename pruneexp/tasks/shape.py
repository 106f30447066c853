"""What a task hands to a model, and what it wants back: known without any data.

Everything that depends on the kind of inputs is asked here: example inputs, their unit, how a
network is called in use, what its outputs must be. A new kind of task is a shape of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pruneexp.config.recipe import Fault, Invalid

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class OnnxNames:
    """How a network's inputs and outputs are called in an ONNX file, and which sizes stay open."""

    inputs: list[str]
    outputs: list[str]
    axes: Any  # dynamic shapes, as torch.onnx.export takes them
    open_sizes: str  # "batch"


@dataclass(frozen=True, slots=True)
class Shape:
    """Base of all shapes. A subclass is a frozen dataclass of sizes that defines `example` and
    `check_outputs`; the rest has defaults that fit a network without a state.

        ImageShape(channels=1, pixels=24, classes=47).example(batch=2)[0].shape  # (2, 1, 24, 24)
    """

    unit: ClassVar[str] = "example"  # what multiply-adds and milliseconds are counted for
    gives_classes: ClassVar[bool] = False  # whether a network's outputs are scores of classes

    def example(self, batch: int = 1, length: int = 1) -> "tuple[Tensor, ...]":
        """Inputs of one call, always the same: `batch` examples, each of `length` units where an
        example is a sequence. Several tensors where a network takes several."""
        raise NotImplementedError(f"{type(self).__name__} has no example")

    def call_inputs(self, model: "nn.Module", batch: int = 1, length: int = 1) -> tuple[Any, ...]:
        """What a call takes in use: an example, and where a network carries a state from call to
        call, the state before it."""
        return self.example(batch, length)

    def check_outputs(self, outputs: Any, batch: int = 1, length: int = 1) -> None:
        """Raise `Invalid` where a network's outputs for `example(batch, length)` are not what the
        task needs."""
        raise NotImplementedError(f"{type(self).__name__} checks no outputs")

    @property
    def example_bytes(self) -> int:
        """Of one example in memory."""
        return FLOAT_BYTES

    def memory_formats(self) -> "list[torch.memory_format]":
        """The orders in memory in which inputs may be handed over."""
        import torch

        return [torch.contiguous_format]

    def onnx_names(self, inputs: tuple[Any, ...]) -> OnnxNames:
        """Names and open sizes for `call_inputs(model)`."""
        from torch.export import Dim

        batch = Dim("batch")
        names = ["inputs"] if len(inputs) == 1 else [f"inputs_{n}" for n in range(len(inputs))]
        return OnnxNames(names, ["outputs"], tuple({0: batch} for _ in inputs), "batch")


def check_model(model: "nn.Module", shape: Shape, batch_size: int = 2) -> None:
    """Call a network with examples of the task and raise `Invalid` where it refuses them, or where
    its outputs do not fit. Nothing about the network or torch's random numbers changes. Two
    examples are tried first, since that is quick, and then a whole batch."""
    import torch

    device = next(iter(model.parameters()), torch.empty(0)).device
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            try:
                outputs, batch = call(model, shape, device, 2), 2
            except Invalid:
                outputs, batch = call(model, shape, device, batch_size), batch_size
    finally:
        for module, training in was_training.items():
            module.training = training
    shape.check_outputs(outputs, batch)


def call(model: "nn.Module", shape: Shape, device: "torch.device", batch: int = 1) -> Any:
    """The network's outputs for examples of the task. Raises `Invalid` where it refuses them."""
    inputs = [tensor.to(device) for tensor in shape.example(batch)]
    try:
        return model(*inputs)
    except Exception as error:  # a network of a user's own may raise anything
        sizes = ", ".join(str(tuple(tensor.shape)) for tensor in inputs)
        kind = type(error).__name__
        why = f"refuses an example of this task, of shape {sizes} ({kind}: {error})"
        raise Invalid([Fault("model", why)]) from error


def _demand_scores(scores: Any, expected: tuple[int, ...], key: str, count: int) -> None:
    """Scores of this shape, whose last size is what `key` says."""
    shape = tuple(getattr(scores, "shape", ()))
    if shape == expected:
        return
    if shape[:-1] == expected[:-1]:
        why = f"gives {shape[-1]} scores an example, but {key}={count}; make them equal"
        raise Invalid([Fault("model", why)])
    got = shape or type(scores).__name__
    raise Invalid([Fault("model", f"must give scores of shape {expected}, got {got}")])


@dataclass(frozen=True, slots=True)
class ImageShape(Shape):
    """Square pictures, and the number of classes.

    Arguments:
        channels, pixels: 1 or 3 colours, and the height and width.
        classes: how many scores a picture gets.
    """

    unit: ClassVar[str] = "picture"
    gives_classes: ClassVar[bool] = True
    channels: int
    pixels: int
    classes: int

    def example(self, batch: int = 1, length: int = 1) -> "tuple[Tensor, ...]":
        import torch

        random = torch.Generator().manual_seed(0)
        size = (batch, self.channels, self.pixels, self.pixels)
        return (torch.randn(size, generator=random),)

    def check_outputs(self, outputs: Any, batch: int = 1, length: int = 1) -> None:
        scores = outputs[0] if isinstance(outputs, tuple) else outputs
        _demand_scores(scores, (batch, self.classes), "task.classes", self.classes)

    @property
    def example_bytes(self) -> int:
        return FLOAT_BYTES * self.channels * self.pixels**2

    def memory_formats(self) -> "list[torch.memory_format]":
        import torch

        return [torch.contiguous_format, torch.channels_last]

    def onnx_names(self, inputs: tuple[Any, ...]) -> OnnxNames:
        from torch.export import Dim

        return OnnxNames(["pictures"], ["scores"], ({0: Dim("batch")},), "batch")


@dataclass(frozen=True, slots=True)
class TextShape(Shape):
    """Words of a vocabulary, one after the other; a network also hands on a state.

    Arguments:
        vocabulary: how many different words there are.
    """

    unit: ClassVar[str] = "word"
    gives_classes: ClassVar[bool] = True
    vocabulary: int

    def example(self, batch: int = 1, length: int = 1) -> "tuple[Tensor, ...]":
        import torch

        random = torch.Generator().manual_seed(0)
        words = torch.randint(self.vocabulary, (1, batch), generator=random)
        return (words.repeat(length, 1) if length > 1 else words,)

    def call_inputs(self, model: "nn.Module", batch: int = 1, length: int = 1) -> tuple[Any, ...]:
        import torch

        with torch.no_grad():
            _, state = model(*self.example(batch))
        return (*self.example(batch, length), state)

    def check_outputs(self, outputs: Any, batch: int = 1, length: int = 1) -> None:
        if not (isinstance(outputs, tuple) and len(outputs) == 2):
            why = f"must return scores and a state for a text, got {type(outputs).__name__}"
            raise Invalid([Fault("model", why)])
        expected = (length, batch, self.vocabulary)
        _demand_scores(outputs[0], expected, "task.vocabulary", self.vocabulary)

    @property
    def example_bytes(self) -> int:
        return 8

    def onnx_names(self, inputs: tuple[Any, ...]) -> OnnxNames:
        from torch.export import Dim

        batch, length = Dim("batch"), Dim("length")
        layers = len(inputs[1])
        before, after = (
            [f"{part}_{number}_{when}" for number in range(layers) for part in ("hidden", "cell")]
            for when in ("before", "after")
        )
        axes = ({0: length, 1: batch}, [({1: batch}, {1: batch})] * layers)
        return OnnxNames(["words", *before], ["scores", *after], axes, "batch and length")


@dataclass(frozen=True, slots=True)
class PairShape(Shape):
    """Sentences in two languages of one vocabulary: a network reads one and gives scores of each
    word of the other, in the order (sentences, words).

    Arguments:
        vocabulary: how many different pieces of words there are.
    """

    unit: ClassVar[str] = "word"
    gives_classes: ClassVar[bool] = True
    vocabulary: int

    def example(self, batch: int = 1, length: int = 1) -> "tuple[Tensor, ...]":
        import torch

        random = torch.Generator().manual_seed(0)
        least = min(4, self.vocabulary - 1)  # the first four are no words
        return tuple(
            torch.randint(least, self.vocabulary, (batch, length), generator=random)
            for _ in range(2)
        )

    def check_outputs(self, outputs: Any, batch: int = 1, length: int = 1) -> None:
        expected = (batch, length, self.vocabulary)
        _demand_scores(outputs, expected, "task.vocabulary", self.vocabulary)

    @property
    def example_bytes(self) -> int:
        return 16

    def onnx_names(self, inputs: tuple[Any, ...]) -> OnnxNames:
        why = "=*.onnx: a network that translates is a reader and a writer that is called word by "
        why += "word, which one graph does not hold; FILE.safetensors works"
        raise Invalid([Fault("--out", why)])


@dataclass(frozen=True, slots=True)
class ArrayShape(Shape):
    """Arrays of any sizes, for tasks of your own.

        ArrayShape(inputs=((16,),), outputs=(1,), called="row")

    Arguments:
        inputs: the shape of one example in each tensor that the network takes.
        outputs: the shape of what it gives for one example.
        called: what an example is called.
    """

    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[int, ...]
    called: str = "example"

    @property
    def unit(self) -> str:  # type: ignore[override]
        """What an example is called."""
        return self.called

    def example(self, batch: int = 1, length: int = 1) -> "tuple[Tensor, ...]":
        import torch

        random = torch.Generator().manual_seed(0)
        return tuple(torch.randn((batch, *size), generator=random) for size in self.inputs)

    def check_outputs(self, outputs: Any, batch: int = 1, length: int = 1) -> None:
        expected = (batch, *self.outputs)
        shape = tuple(getattr(outputs, "shape", ()))
        if shape != expected:
            got = shape or type(outputs).__name__
            why = f"must give outputs of shape {expected} (task.outputs), got {got}"
            raise Invalid([Fault("model", why)])

    @property
    def example_bytes(self) -> int:
        return FLOAT_BYTES * sum(map(math.prod, self.inputs))


def sizes_of(values: Sequence[Any]) -> tuple[int, ...]:
    """A list of sizes as a shape."""
    return tuple(int(value) for value in values)
