"""The network: a small residual net with squeeze-and-excitation, for one CPU core."""

# mypy: disable-error-code="misc,no-any-return,no-untyped-call"

from __future__ import annotations

import torch
from torch import Tensor, nn

FEATURES = 256
WIDTHS = (48, 96, 176, FEATURES)
DEPTHS = (2, 2, 2, 1)


class Excite(nn.Module):
    """Weighs channels by what the whole picture shows (squeeze-and-excitation, Hu et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(16, channels // 8)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        gate = x.mean((2, 3), keepdim=True)
        gate = self.excite(torch.relu(self.squeeze(gate)))
        return x * torch.sigmoid(gate)


class Block(nn.Module):
    """Two 3x3 convolutions, a gate, and a way around them; `drop` is the chance to skip them in training."""

    def __init__(self, inputs: int, outputs: int, stride: int, drop: float) -> None:
        super().__init__()
        self.drop = drop
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            Excite(outputs),
        )
        nn.init.zeros_(self.body[4].weight)  # a block starts as its shortcut, which steadies early training
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(2, ceil_mode=True) if stride == 2 else nn.Identity(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        change = self.body(x)
        if self.training and self.drop > 0:
            keep = (torch.rand(x.shape[0], 1, 1, 1) >= self.drop).to(x.dtype)
            change = change * keep / (1 - self.drop)
        return torch.relu(self.shortcut(x) + change)


class LaundryNet(nn.Module):
    """RGB in 0..255, shape [n, 3, s, s], to features [n, 256] and logits [n, labels]."""

    def __init__(self, labels: int, drop: float = 0.06) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([123.7, 116.3, 103.5]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([58.4, 57.1, 57.4]).view(1, 3, 1, 1))
        layers: list[nn.Module] = [
            nn.Conv2d(3, 32, 3, 2, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, WIDTHS[0], 3, 2, 1, bias=False),
            nn.BatchNorm2d(WIDTHS[0]),
            nn.ReLU(),
        ]
        inputs, number, total = WIDTHS[0], 0, sum(DEPTHS)
        for stage, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
            for index in range(depth):
                stride = 2 if index == 0 and stage > 0 else 1
                layers.append(Block(inputs, width, stride, drop * number / total))
                inputs, number = width, number + 1
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(FEATURES, labels)
        self.dropout = nn.Dropout(0.2)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees of each photo, [n, 256]."""
        return self.trunk((x - self.mean) / self.scale).mean((2, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        seen = self.features(x)
        return seen, self.head(self.dropout(seen))
