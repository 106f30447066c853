"""Networks for pictures of 224 pixels through our loop and through a plain one."""

from collections.abc import Callable

import torch
from torch import nn
from turns import table, turns

from pruneexp.engine.device import keep_freed_memory
from pruneexp.models.mobilenet_v1 import MobileNet
from pruneexp.pruning import Dense, Gradual, Pruning
from pruneexp.pruning.schedule import OneShot
from pruneexp.pruning.scope import All
from pruneexp.tasks.images import Classification
from pruneexp.tasks.loaded import Setting
from pruneexp.tasks.shape import ImageShape
from pruneexp.training import Training
from pruneexp.training.fit import Fit


def vision() -> None:
    """ResNet-50 and MobileNet on generated pictures of 224 pixels: our loop with masks on, the same
    loop dense, and a plain loop. On a GPU in bf16 if there is one, else a few pictures on a CPU."""
    import torchvision

    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    batch, steps, times = (256, 20, 8) if on_gpu else (4, 2, 3)
    torch.set_num_threads(1)
    keep_freed_memory()
    shape = ImageShape(3, 224, 1000)
    networks: dict[str, Callable[[], nn.Module]] = {
        "ResNet-50": torchvision.models.resnet50,
        "MobileNet": lambda: MobileNet(shape, width=1.0, layout="published"),
    }
    for name, network in networks.items():
        masked = Gradual(sparsity=0.9, schedule=OneShot(begin=0.0), scope=All())
        loops = {
            "a plain loop": plain_pictures(network(), device, batch, steps),
            "pruneexp's loop, dense": our_pictures(network(), device, batch, steps, Dense()),
            "pruneexp's loop, masks on, 90 %": our_pictures(
                network(), device, batch, steps, masked
            ),
        }
        title = f"{steps} steps of {name}, {batch} pictures each, {device.type}"
        table(title, turns(loops, times), "a plain loop")


class Generated:
    """A split of pictures that lie ready."""

    def __init__(self, count: int) -> None:
        self.pictures, self.labels = torch.randn(count, 3, 224, 224), torch.randint(1000, (count,))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.pictures[index], self.labels[index]


def our_pictures(
    model: nn.Module, device: torch.device, batch: int, steps: int, pruning: Pruning
) -> Callable[[], None]:
    """Through `Fit`, the validation of one picture at the end included."""
    model = model.to(device).to(memory_format=torch.channels_last)
    pruner = pruning.attach(model, steps=steps)
    recipe = Training(
        steps=steps,
        batch_size=batch,
        evaluations=1,
        precision="bf16" if device.type == "cuda" else "fp32",
    )
    task = Classification(Generated(batch), Generated(1), Generated(1))
    task.settle(
        Setting(
            device=device,
            shape=ImageShape(3, 224, 1000),
            seed=0,
            batch_size=batch,
            unroll=0,
            label_smoothing=0.0,
            memory_format=torch.channels_last,
            workers=0,
        )
    )

    def act() -> None:
        Fit(model, task, pruner, recipe, steps=steps, rate=0.1).run()

    return act


def plain_pictures(
    model: nn.Module, device: torch.device, batch: int, steps: int
) -> Callable[[], None]:
    """As torchvision's training script does it, with torch alone."""
    model = model.to(device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    split = Generated(batch)

    def act() -> None:
        model.train()
        for _ in range(steps):
            pictures = torch.stack([split[index][0] for index in range(batch)])
            pictures = pictures.to(device, memory_format=torch.channels_last)
            labels = split.labels.to(device)
            optimiser.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                loss = nn.functional.cross_entropy(model(pictures), labels)
            loss.backward()
            optimiser.step()
        loss.item()  # waits for the device

    return act
