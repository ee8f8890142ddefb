"""Small generators of records: a variational autoencoder, an adversarial network, a diffusion model, a sequence model.

Each has the same face: ``forward(noise)`` returns what ``validation/models/decoder.py`` reads. They are reference
models for demonstrations and tests: small, quick to train, and not private by construction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return three layers with smooth activations."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, outputs)
    )


class VaeDecoder(nn.Module):
    """From noise to scores and logits, with the learnt spread of every score."""

    def __init__(self, noise: int, width: int, numbers: Tensor, hidden: int = 128) -> None:
        super().__init__()
        self.net = mlp(noise, hidden, width)
        self.log_spread = nn.Parameter(torch.zeros(width))
        self.register_buffer("numbers", numbers)

    def forward(self, noise: Tensor) -> Tensor:
        """Return outputs with the spread of the numbers added."""
        mean = self.net(noise)
        return mean + torch.randn_like(mean) * torch.exp(self.log_spread) * self.numbers


class GanGenerator(nn.Module):
    """From noise to scores and logits."""

    def __init__(self, noise: int, width: int, hidden: int = 128) -> None:
        super().__init__()
        self.net = mlp(noise, hidden, width)

    def forward(self, noise: Tensor) -> Tensor:
        """Return outputs; numbers vary by the noise alone."""
        return self.net(noise)


class DiffusionSampler(nn.Module):
    """A denoiser and the ancestral sampling over its steps (Ho et al. 2020, arXiv:2006.11239)."""

    def __init__(self, width: int, steps: int = 60, hidden: int = 192) -> None:
        super().__init__()
        self.steps = steps
        self.net = mlp(width + 3, hidden, width)
        betas = torch.linspace(1e-3, 0.2, steps)
        self.register_buffer("betas", betas)
        self.register_buffer("kept", torch.cumprod(1 - betas, dim=0))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("shift", torch.zeros(width))

    def denoise(self, x: Tensor, step: Tensor) -> Tensor:
        """Return the noise that the network sees in ``x`` at a step."""
        t = step.to(x.dtype)[:, None] / self.steps
        return self.net(torch.cat([x, t, torch.sin(6.2832 * t), torch.cos(6.2832 * t)], dim=1))

    def forward(self, noise: Tensor) -> Tensor:
        """Sample records, beginning with the noise."""
        x = noise
        for k in range(self.steps):
            step = self.steps - 1 - k
            at = torch.full([x.shape[0]], step, dtype=torch.long)
            beta, kept = self.betas[step], self.kept[step]
            x = (x - beta / torch.sqrt(1 - kept) * self.denoise(x, at)) / torch.sqrt(1 - beta)
            if step > 0:
                x = x + torch.sqrt(beta) * torch.randn_like(x)
        return x * self.scale + self.shift


class SequenceSampler(nn.Module):
    """Event histories one event at a time: the next code, the time since the last event, and a value.

    Code 0 ends the history. Times are days; a gap is drawn from the steps seen in training (``gaps``), so that visits
    on one day stay on one day.
    """

    def __init__(self, codes: int, gaps: Tensor, longest: int, hidden: int = 96) -> None:
        super().__init__()
        self.codes, self.longest, self.hidden = codes, longest, hidden
        self.embed = nn.Embedding(codes + 1, 32)
        self.cell = nn.GRUCell(34, hidden)
        self.to_code = nn.Linear(hidden, codes + 1)
        self.to_gap = nn.Linear(hidden + 32, len(gaps))
        self.to_value = nn.Linear(hidden + 32, 2)
        self.start = nn.Linear(8, hidden)
        self.register_buffer("gaps", gaps)
        self.register_buffer("value_mean", torch.zeros(codes + 1))
        self.register_buffer("value_spread", torch.zeros(codes + 1))

    def step(self, code: Tensor, days: Tensor, gap: Tensor, state: Tensor) -> Tensor:
        """Return the next hidden state after an event (``days`` and ``gap`` as log(1 + x) / 5)."""
        return self.cell(torch.cat([self.embed(code), days[:, None], gap[:, None]], dim=1), state)

    def forward(self, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return codes, times and values, (n, longest) each; codes are -1 after the end."""
        n = noise.shape[0]
        state = torch.tanh(self.start(noise * 0.0))
        code = torch.zeros(n, dtype=torch.long)
        now, gap = torch.zeros(n), torch.zeros(n)
        alive = torch.ones(n, dtype=torch.bool)
        codes = torch.full([n, self.longest], -1, dtype=torch.long)
        times = torch.zeros(n, self.longest)
        values = torch.full([n, self.longest], float("nan"))
        for k in range(self.longest):
            state = self.step(code, torch.log1p(now) / 5, torch.log1p(gap) / 5, state)
            logits = self.to_code(state)
            if k == 0:
                logits[:, 0] = -1e9  # nobody has an empty history
            code = torch.multinomial(torch.softmax(logits, dim=1), 1)[:, 0]
            alive = alive & (code > 0)
            seen = torch.cat([state, self.embed(code)], dim=1)
            gap = self.gaps[torch.multinomial(torch.softmax(self.to_gap(seen), dim=1), 1)[:, 0]]
            gap = gap if k > 0 else torch.zeros_like(gap)
            now = now + gap
            told = self.to_value(seen)
            drawn = told[:, 0] + torch.exp(torch.clamp(told[:, 1], -6.0, 2.0)) * torch.randn(n)
            value = self.value_mean[code] + self.value_spread[code] * drawn
            value = torch.where(self.value_spread[code] > 0, value, torch.full_like(value, float("nan")))
            codes[:, k] = torch.where(alive, code - 1, torch.full_like(code, -1))
            times[:, k], values[:, k] = now, value
        return codes, times, values
