"""Small denoisers of four families, made of MONAI networks: U-Net, GAN, VAE and diffusion.

All take images in HU, ``(n, 1, height, width)`` with sides that are multiples of 16, and return images of the same
shape. The last three are samplers: they draw from PyTorch's generator, which the run engine seeds per case and draw.
They are small enough to train in minutes on two cores, and supply examples of every kind of record, not good products.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SCALE_HU = 500.0
RESIDUAL_HU = 30.0
STEPS = 4
FAMILIES = ("unet", "gan", "vae", "diffusion")


def _unet(channels: int) -> nn.Module:
    from monai.networks.nets import BasicUNet

    features = (8, 8, 16, 16, 24, 8)
    return BasicUNet(2, channels, 1, features=features, norm=None, upsample="deconv")


class UNet(nn.Module):
    """Predicts the noise, which is subtracted. Deterministic."""

    def __init__(self) -> None:
        super().__init__()
        self.network = _unet(1)
        self.gain = nn.Parameter(torch.tensor(0.2))

    def forward(self, image: Tensor) -> Tensor:
        """Return the denoised image."""
        return image - SCALE_HU * self.gain * self.network(image / SCALE_HU)


class Generator(nn.Module):
    """The generator of a conditional GAN: sees the image and a channel of random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.network = _unet(2)
        self.gain = nn.Parameter(torch.tensor(0.2))

    def forward(self, image: Tensor) -> Tensor:
        """Return one sample."""
        seen = torch.cat([image / SCALE_HU, torch.randn_like(image)], dim=1)
        return image - SCALE_HU * self.gain * self.network(seen)


class Autoencoder(nn.Module):
    """A variational autoencoder that reads the noisy image and writes the clean one; its latent is sampled."""

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets import AutoencoderKL

        self.network = AutoencoderKL(
            spatial_dims=2,
            channels=(8, 16, 16),
            latent_channels=4,
            num_res_blocks=1,
            attention_levels=(False, False, False),
            norm_num_groups=4,
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
        )

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the latent."""
        mean, spread = self.network.encode(image / SCALE_HU)
        return mean, spread

    def decode(self, latent: Tensor) -> Tensor:
        """Return the image of a latent, in HU."""
        return self.network.decode(latent) * SCALE_HU

    def forward(self, image: Tensor) -> Tensor:
        """Return one sample."""
        mean, spread = self.encode(image)
        return self.decode(mean + spread * torch.randn_like(mean))


class Diffusion(nn.Module):
    """A conditional diffusion model of the residual (clean minus noisy), sampled in a few steps (DDIM)."""

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.schedulers import DDPMScheduler

        self.network = _unet(3)
        self.register_buffer("kept", DDPMScheduler(num_train_timesteps=1000).alphas_cumprod.clone())

    def predict(self, noisy: Tensor, image: Tensor, time: Tensor) -> Tensor:
        """Return the predicted clean residual, in units of RESIDUAL_HU."""
        level = torch.ones_like(image) * (1 - self.kept[time]).sqrt()[:, None, None, None]
        return self.network(torch.cat([noisy, image / SCALE_HU, level], dim=1))

    def forward(self, image: Tensor) -> Tensor:
        """Return one sample."""
        state = torch.randn_like(image)
        times = [999 - 250 * k for k in range(STEPS)]
        for now, then in zip(times, [*times[1:], -1], strict=True):
            time = torch.zeros_like(image[:, 0, 0, 0], dtype=torch.long) + now
            clean = self.predict(state, image, time)
            noise = (state - self.kept[now].sqrt() * clean) / (1 - self.kept[now]).sqrt()
            state = clean if then < 0 else self.kept[then].sqrt() * clean + (1 - self.kept[then]).sqrt() * noise
        return image + RESIDUAL_HU * state


MODELS: dict[str, type[nn.Module]] = {"unet": UNet, "gan": Generator, "vae": Autoencoder, "diffusion": Diffusion}


class Encoder(nn.Module):
    """The encoder of a trained autoencoder, for latent traversals: image in HU to the mean of the latent."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        """Return the mean of the latent."""
        return self.model.encode(image)[0]


class Decoder(nn.Module):
    """The decoder of a trained autoencoder: latent to image in HU."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: Tensor) -> Tensor:
        """Return the image."""
        return self.model.decode(latent)
