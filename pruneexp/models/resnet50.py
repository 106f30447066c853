"""ResNet-50 (He et al. 2016): torchvision's blocks, thinned, as published and for small pictures.

At width 1 all names and shapes are torchvision's, so its weights load.
"""

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from pruneexp.tasks.shape import ImageShape

STAGES = (64, 128, 256, 512)  # channels inside the blocks of a stage, before the width multiplier
BLOCKS = {"published": (3, 4, 6, 3), "small": (2, 2, 2, 2)}


class ResNet(nn.Module):
    def __init__(self, shape: ImageShape, *, width: float, layout: str, zero_last: bool) -> None:
        super().__init__()
        stages = [max(1, int(base * width)) for base in STAGES]
        channels, small = stages[0], layout == "small"
        kernel, stride = (3, 1) if small else (7, 2)
        self.conv1 = nn.Conv2d(
            shape.channels, channels, kernel, stride, padding=kernel // 2, bias=False
        )
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        layers: list[nn.Sequential] = []
        for inner, blocks in zip(stages, BLOCKS[layout], strict=True):
            layers.append(_stage(channels, inner, blocks, stride=2 if layers else 1))
            channels = inner * Bottleneck.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Linear(channels, shape.classes)
        for module in self.modules():  # as torchvision does
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Bottleneck) and zero_last:
                nn.init.zeros_(module.bn3.weight)

    def forward(self, images: Tensor) -> Tensor:
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        return self.fc(self.pool(features))

    def prunable(self) -> dict[str, list[str]]:
        """All convolutions and the classifier (Gale et al. 2019)."""
        return {name: [name] for name, weight in self.named_parameters() if weight.dim() > 1}


def _stage(channels: int, inner: int, blocks: int, *, stride: int) -> nn.Sequential:
    outer = inner * Bottleneck.expansion
    shortcut = nn.Sequential(
        nn.Conv2d(channels, outer, 1, stride, bias=False), nn.BatchNorm2d(outer)
    )
    rest = [Bottleneck(outer, inner) for _ in range(1, blocks)]
    return nn.Sequential(Bottleneck(channels, inner, stride, shortcut), *rest)
