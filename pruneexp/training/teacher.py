"""A trained network from whose scores another one learns."""

from typing import Any

import torch
from torch import Tensor, nn

from pruneexp.tasks.loaded import Carry, LoadedTask


class Teacher:
    """The loss of a batch where a teacher's chances of the classes count beside the labels:
    (1 - share) times the task's own loss, and share times temperature² times the mean divergence of
    the model's chances from the teacher's, both at that temperature (Hinton et al. 2015, equation 4
    and section 2.1).

        teacher = Teacher(network, temperature=2.0, share=0.5)
        loss, carry = teacher.loss(task, model, batch, carry)

    Arguments:
        network: trained; it is put into eval mode and gets no gradients.
        temperature: both models' scores are divided by it.
        share: of the loss that is the teacher's.
    """

    def __init__(self, network: nn.Module, *, temperature: float, share: float) -> None:
        self.network = network.eval().requires_grad_(False)
        self.temperature, self.share = temperature, share
        self.carry: Carry = None  # its own state from step to step

    def loss(
        self, task: LoadedTask, model: nn.Module, batch: Any, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """What is differentiated, and what the model's next step starts from."""
        batch = task.placed(batch)
        scores, carry = task.scores(model, batch, carry)
        with torch.no_grad():
            taught, self.carry = task.scores(self.network, batch, self.carry)
        own = task.loss_from_scores(model, scores, batch)
        far = divergence(_main(scores), _main(taught), self.temperature)
        unit = 1 / task.shown(1.0)  # what a mean of 1 over examples is in the task's loss
        return (1 - self.share) * own + self.share * unit * far, carry


def divergence(scores: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Temperature² times the mean over examples of the Kullback-Leibler divergence of the chances
    of `scores` from those of `taught`, so that its gradients do not shrink with the temperature.

    Arguments:
        scores, taught: of classes, in the last dimension.
    """
    classes = scores.shape[-1]
    ours = torch.log_softmax(scores.float() / temperature, -1).reshape(-1, classes)
    theirs = torch.log_softmax(taught.float() / temperature, -1).reshape(-1, classes)
    far = nn.functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return temperature**2 * far


def _main(scores: Any) -> Tensor:
    """The scores that count where a network gives auxiliary ones too."""
    main: Tensor = scores[0] if isinstance(scores, tuple) else scores
    return main
