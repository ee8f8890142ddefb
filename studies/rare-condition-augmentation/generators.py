"""Small generators of labelled patches in three families, made of MONAI networks: VAE, GAN and diffusion.

Each turns a class into new images: ``forward(labels)`` with labels (n,) gives (n, 32, 32) in HU. All draw from
PyTorch's generator, so a seed fixes the sample. They are trained in a minute on one core and saved as TorchScript.
"""

from __future__ import annotations

import numpy as np
import torch
from simulation import CONDITIONS, LIVER_HU, SCALE_HU, SIZE
from torch import Tensor, nn
from torch.nn import functional

CLASSES = len(CONDITIONS)
LATENT = 16
BATCH = 64
STEPS = {"vae": 300, "gan": 400, "diffusion": 500}
FAMILIES = tuple(STEPS)
NOISE_STEPS = 12


class VAE(nn.Module):
    """MONAI's variational autoencoder; a class is drawn from the normal distribution of its training latents."""

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets import VarAutoEncoder

        self.network = VarAutoEncoder(
            spatial_dims=2,
            in_shape=(1, SIZE, SIZE),
            out_channels=1,
            latent_size=LATENT,
            channels=(16, 32),
            strides=(2, 2),
            use_sigmoid=False,
        )
        self.register_buffer("centre", torch.zeros(CLASSES, LATENT))
        self.register_buffer("spread", torch.ones(CLASSES, LATENT))
        self.register_buffer("rest", torch.tensor(0.0))

    def forward(self, labels: Tensor) -> Tensor:
        """Return one image per label."""
        latent = self.centre[labels] + self.spread[labels] * torch.randn(labels.shape[0], LATENT)
        smooth = self.network.decode_forward(latent, use_sigmoid=False)[:, 0]
        rough = torch.randn(labels.shape[0], 1, SIZE + 2, SIZE + 2)
        grain = functional.avg_pool2d(rough, 3, 1)[:, 0] * 3.0  # the decoder gives the mean; noise is added as measured
        return (smooth + self.rest * grain) * SCALE_HU + LIVER_HU

    def fit(self, images: Tensor, labels: Tensor) -> None:
        """Train, then describe the latents of every class and the noise that the decoder leaves out."""
        optimiser = torch.optim.Adam(self.network.parameters(), lr=2e-3)
        for x, _ in batches(images, labels, STEPS["vae"]):
            made, mean, log_variance, _ = self.network(x[:, None])
            divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
            loss = (made[:, 0] - x).square().sum((1, 2)).mean() / 2 + divergence
            step(optimiser, loss)
        self.eval()
        with torch.no_grad():
            mean = self.network.encode_forward(images[:, None])[0]
            smooth = self.network.decode_forward(mean, use_sigmoid=False)[:, 0]
            self.rest.fill_(float((images - smooth).std()))
            for c in range(CLASSES):
                self.centre[c], self.spread[c] = mean[labels == c].mean(0), mean[labels == c].std(0)


class GAN(nn.Module):
    """MONAI's generator and discriminator, told the class."""

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets import Generator

        self.network = Generator((LATENT + CLASSES,), (32, 8, 8), channels=(16, 1), strides=(2, 2), num_res_units=0)

    def forward(self, labels: Tensor) -> Tensor:
        """Return one image per label."""
        told = functional.one_hot(labels, CLASSES).float()
        noise = torch.cat([torch.randn(labels.shape[0], LATENT), told], dim=1)
        return 4 * torch.tanh(self.network(noise)[:, 0] / 4) * SCALE_HU + LIVER_HU

    def fit(self, images: Tensor, labels: Tensor) -> None:
        """Train against a discriminator that sees the class as further channels."""
        from monai.networks.nets import Discriminator

        shape = (1 + CLASSES, SIZE, SIZE)
        critic = Discriminator(shape, channels=(16, 32), strides=(2, 2), num_res_units=0, last_act=None)
        own = torch.optim.Adam(self.network.parameters(), lr=1e-3, betas=(0.5, 0.99))
        other = torch.optim.Adam(critic.parameters(), lr=5e-4, betas=(0.5, 0.99))
        for x, label in batches(images, labels, STEPS["gan"]):
            made = (self(label) - LIVER_HU) / SCALE_HU
            maps = functional.one_hot(label, CLASSES).float()[:, :, None, None].expand(-1, -1, SIZE, SIZE)

            def judge(picture: Tensor, maps: Tensor = maps) -> Tensor:
                return critic(torch.cat([picture[:, None], maps], dim=1))

            step(other, functional.softplus(-judge(x)).mean() + functional.softplus(judge(made.detach())).mean())
            step(own, functional.softplus(-judge(made)).mean())
        self.eval()


class Diffusion(nn.Module):
    """A diffusion model on MONAI's U-Net, told class and noise level by channels, sampled in few steps (DDIM)."""

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets import BasicUNet
        from monai.networks.schedulers import DDPMScheduler

        features = (16, 16, 24, 32, 32, 16)
        self.network = BasicUNet(2, 2 + CLASSES, 1, features=features, norm=None, upsample="deconv")
        self.register_buffer("kept", DDPMScheduler(num_train_timesteps=1000).alphas_cumprod.clone())

    def clean(self, noisy: Tensor, labels: Tensor, time: Tensor) -> Tensor:
        """Return the predicted clean image."""
        told = functional.one_hot(labels, CLASSES).float()[:, :, None, None].expand(-1, -1, SIZE, SIZE)
        level = (1 - self.kept[time]).sqrt()[:, None, None, None].expand(-1, 1, SIZE, SIZE)
        return self.network(torch.cat([noisy[:, None], level, told], dim=1))[:, 0]

    def forward(self, labels: Tensor) -> Tensor:
        """Return one image per label."""
        state = torch.randn(labels.shape[0], SIZE, SIZE)
        times = [int(t) for t in np.linspace(999, 0, NOISE_STEPS)]
        for now, then in zip(times, [*times[1:], -1], strict=True):
            clean = self.clean(state, labels, torch.zeros_like(labels) + now)
            noise = (state - self.kept[now].sqrt() * clean) / (1 - self.kept[now]).sqrt()
            state = clean if then < 0 else self.kept[then].sqrt() * clean + (1 - self.kept[then]).sqrt() * noise
        return state * SCALE_HU + LIVER_HU

    def fit(self, images: Tensor, labels: Tensor) -> None:
        """Train to recover the clean image from any amount of noise."""
        optimiser = torch.optim.Adam(self.network.parameters(), lr=2e-3)
        for x, label in batches(images, labels, STEPS["diffusion"]):
            time = torch.randint(0, 1000, (len(x),))
            kept = self.kept[time][:, None, None]
            noisy = kept.sqrt() * x + (1 - kept).sqrt() * torch.randn_like(x)
            step(optimiser, (self.clean(noisy, label, time) - x).square().mean())
        self.eval()


MODELS: dict[str, type[VAE] | type[GAN] | type[Diffusion]] = {"vae": VAE, "gan": GAN, "diffusion": Diffusion}


def batches(images: Tensor, labels: Tensor, steps: int):  # type: ignore[no-untyped-def]
    """Yield random batches with as many images of each class, flipped at random."""
    places = [(labels == c).nonzero()[:, 0] for c in range(CLASSES)]
    for _ in range(steps):
        label = torch.randint(0, CLASSES, (BATCH,))
        rows = torch.stack([places[c][torch.randint(0, len(places[c]), ())] for c in label])
        x = images[rows]
        x = x.flip(-1) if torch.rand(()) < 0.5 else x
        yield (x.flip(-2) if torch.rand(()) < 0.5 else x), label


def step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step downhill."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def standardised(images: Tensor) -> Tensor:
    """Return images in the units of the networks."""
    return (images - LIVER_HU) / SCALE_HU
