"""MobileNet V1 (Howard et al. 2017), as published for 224 pixels and small for small pictures."""

from torch import Tensor, nn

from pruneexp.tasks.shape import ImageShape

STEM = 32
# (channels, stride) of each separable block before the width multiplier
BLOCKS = {
    "published": [
        *[(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)],
        *[(512, 1)] * 5,
        *[(1024, 2), (1024, 1)],
    ],
    "small": [
        *[(64, 1), (128, 2), (128, 1), (256, 2), (256, 1)],
        *[(512, 2), (512, 1), (1024, 1)],
    ],
}
# ReLU6; what batch-norm adds to a variance, and the share of its running averages that a step
# replaces: published as in the authors' code, small as torch has them, for far shorter training.
CLIPPED = {"published": True, "small": False}
BATCH_NORM = {"published": (1e-3, 1 - 0.9997), "small": (1e-5, 0.1)}
STEM_STRIDE = {"published": 2, "small": 1}
BASE = {"published": 1.0, "small": 0.5}  # times every channel number, before the width


class MobileNet(nn.Module):
    def __init__(self, shape: ImageShape, *, width: float, layout: str) -> None:
        super().__init__()

        def channels(base: int) -> int:
            return max(1, int(base * BASE[layout] * width))

        blocks = BLOCKS[layout]
        inputs = [STEM, *[base for base, _ in blocks[:-1]]]
        self.stem = _convolution(
            shape.channels, channels(STEM), kernel=3, stride=STEM_STRIDE[layout], layout=layout
        )
        self.blocks = nn.Sequential(
            *[
                Separable(channels(before), channels(after), stride, layout)
                for before, (after, stride) in zip(inputs, blocks, strict=True)
            ]
        )
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(channels(blocks[-1][0]), shape.classes)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.pool(self.blocks(self.stem(images))))

    def prunable(self) -> dict[str, list[str]]:
        """What the paper prunes: the 1x1 convolutions and the classifier (section 4.1)."""
        pointwise = [f"blocks.{index}.pointwise.0.weight" for index in range(len(self.blocks))]
        return {name: [name] for name in [*pointwise, "classifier.weight"]}


class Separable(nn.Module):
    """A 3x3 convolution of each channel by itself, then a 1x1 convolution across channels."""

    def __init__(self, inputs: int, outputs: int, stride: int, layout: str) -> None:
        super().__init__()
        self.depthwise = _convolution(
            inputs, inputs, kernel=3, stride=stride, groups=inputs, layout=layout
        )
        self.pointwise = _convolution(inputs, outputs, kernel=1, layout=layout)

    def forward(self, images: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(images))


def _initialise(module: nn.Module) -> None:
    """As in the authors' published code: normal, cut off at two standard deviations. torch's own
    initialisation learns far slower here (docs/log.md)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.09, a=-0.18, b=0.18)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _convolution(
    inputs: int, outputs: int, *, kernel: int, layout: str, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, *BATCH_NORM[layout]),
        nn.ReLU6(inplace=True) if CLIPPED[layout] else nn.ReLU(inplace=True),
    )
