"""InceptionV3 (Szegedy et al. 2016): torchvision's, thinned, as published and for small pictures.

At width 1 all names and shapes are torchvision's, so its weights load.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import inception

from pruneexp.tasks.shape import ImageShape

COLOURS = 3  # torchvision's input channels, the only number there that is no multiple of 16
# Mixed blocks that end with the channels they began with: the small layout does without.
REPEATED = ("Mixed_5d", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7c")
GRID = 5  # what the auxiliary classifier's convolution covers, so that one position is left


class Inception(inception.Inception3):
    def __init__(
        self, shape: ImageShape, *, width: float, layout: str, dropout: float, auxiliary: float
    ) -> None:
        def thin(inputs: int, outputs: int, **options: Any) -> nn.Module:
            mine = shape.channels if inputs == COLOURS else int(inputs * width)
            return inception.BasicConv2d(mine, int(outputs * width), **options)

        blocks = [
            *(inception.InceptionA, inception.InceptionB, inception.InceptionC),
            *(inception.InceptionD, inception.InceptionE, Auxiliary),
        ]
        super().__init__(
            shape.classes,
            inception_blocks=[thin, *[partial(block, conv_block=thin) for block in blocks]],
            init_weights=False,
            dropout=dropout,
        )
        self.auxiliary = auxiliary  # weight of its loss, for the loop
        assert isinstance(self.AuxLogits, Auxiliary)
        for head in (self, self.AuxLogits):
            head.fc = nn.Linear(int(head.fc.in_features * width), shape.classes)
        if layout == "small":
            self._for_small_pictures()
        self._initialise(width)

    def _for_small_pictures(self) -> None:
        """A stem that halves the picture once, not three times, and without pools: 24 pixels
        become 11 in its second convolution, 9 before the mixed blocks, then 4 and 1."""
        first, second = self.Conv2d_1a_3x3.conv, self.Conv2d_2a_3x3.conv
        first.stride, first.padding = (1, 1), (1, 1)
        second.stride = (2, 2)
        self.maxpool1 = self.maxpool2 = nn.Identity()
        for name in REPEATED:
            setattr(self, name, nn.Identity())

    def _initialise(self, width: float) -> None:
        """As torchvision does at width 1. A thin filter has fewer entries, so they are larger: its
        norm, which sets the size of a step under batch-norm, stays."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.1 * width**-0.5, a=-2, b=2)
        assert isinstance(self.AuxLogits, Auxiliary)
        nn.init.trunc_normal_(self.fc.weight, std=0.1)
        nn.init.trunc_normal_(self.AuxLogits.fc.weight, std=0.001)

    def prunable(self) -> dict[str, list[str]]:
        """All convolutions and both classifiers: the text (section 3) names the convolutions, the
        counts that Table 1 prints need the classifiers too."""
        return {name: [name] for name, weight in self.named_parameters() if weight.dim() > 1}


class Auxiliary(inception.InceptionAux):
    """The classifier half-way. Where the published pooling (17 positions to 5) would leave less
    than its convolution needs, the grid is brought to 5x5."""

    def forward(self, features: Tensor) -> Tensor:
        if min(features.shape[-2:]) >= 17:
            pooled = functional.avg_pool2d(features, kernel_size=5, stride=3)
        else:
            pooled = functional.adaptive_avg_pool2d(features, GRID)
        features = self.conv1(self.conv0(pooled))
        return self.fc(functional.adaptive_avg_pool2d(features, 1).flatten(1))
