"""Arithmetic of 16 bits in forward and backward passes; weights and their updates stay at 32."""

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """`with precision():` around what may be computed at fewer bits. Gradients of fp16 would vanish
    without the scaler, which does nothing at the other two.

    Arguments:
        word: fp32, bf16 or fp16.
        device: where the network is.
    """

    def __init__(self, word: str, device: torch.device) -> None:
        self.device = device
        self.dtype = DTYPES[word]
        self.scaler = torch.amp.GradScaler(device.type, enabled=word == "fp16")

    def __call__(self) -> torch.autocast:
        fewer = self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype, enabled=fewer)
