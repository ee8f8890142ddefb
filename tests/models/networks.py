"""Small networks with known answers, and their files in every format."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn


class Shrink(nn.Module):
    """Halves intensities."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.5


class Smooth(nn.Module):
    """A 3x3 convolution with seeded weights."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, 1, 3, padding=1)
        generator = torch.Generator().manual_seed(7)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Sampler(nn.Module):
    """Adds noise from PyTorch's generator, as a diffusion sampler does."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


class MeanOfChannels(nn.Module):
    """Averages neighbouring slices."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1, keepdim=True)


class Crop(nn.Module):
    """Loses a border."""

    def forward(self, x: Tensor) -> Tensor:
        return x[..., 1:-1, 1:-1]


class NotANumberAboveZero(nn.Module):
    """Fails on images whose first voxel is positive."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x[..., :1, :1] > 0, torch.nan, x)


def number() -> int:
    """Return something that is no model."""
    return 3


def save_script(module: nn.Module, path: Path) -> Path:
    """Save as TorchScript."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*deprecated.*")
        torch.jit.script(module.eval()).save(str(path))
    return path


def save_exported(module: nn.Module, path: Path) -> Path:
    """Save as a torch.export archive with free batch and image sizes."""
    sizes = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    torch.export.save(
        torch.export.export(module.eval(), (torch.zeros(2, 1, 16, 16),), dynamic_shapes=(sizes,)), str(path)
    )
    return path


def save_onnx(module: Smooth, path: Path) -> Path:
    """Save the convolution as an ONNX graph."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(module.layer.weight.detach().numpy(), "w")
    bias = numpy_helper.from_array(module.layer.bias.detach().numpy(), "b")
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    shape = ["n", 1, "h", "w_"]
    graph = helper.make_graph(
        [node],
        "smooth",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [weight, bias],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    onnx.checker.check_model(made)
    return path


class Broken(nn.Module):
    """Cannot be made."""

    def __init__(self) -> None:
        raise TypeError("needs something that nobody gives")


class Repeat:
    """A writer of texts that repeats its sources."""

    def __call__(self, *, texts: dict[str, str], image: Tensor | None) -> str:
        """Return the source texts, one per line."""
        if any(not name.startswith("source") for name in texts):
            raise ValueError("a reference was shown to the model")
        return "\n".join(texts.values())
