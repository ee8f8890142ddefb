"""Features of the images of a set: radiomic ones, or those of a TorchScript or ONNX network that the user supplies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from validation.cohort.datasets import DataSet
from validation.digest import sha256_file
from validation.errors import DataProblem
from validation.metrics.generative.features import network_features, radiomic_features
from validation.models.loaders import load_onnx, load_torchscript

if TYPE_CHECKING:
    import pandas as pd

BATCH = 64


def with_features(part: DataSet, root: Path) -> DataSet:
    """Return a set of images as a table: its rows with the features of their images. Others stay as they are.

    Runs on the CPU, so that a GPU changes no feature. Radiomic features that no image has are left out.

    Raises
    ------
    ModelProblem
        If the network cannot be loaded or does not fit.
    DataProblem
        COH-086 if a feature is undefined for some images only, which would compare different images.
    """
    if part.images is None or part.extract is None:
        return part
    import pandas as pd

    images = torch.from_numpy(part.images)
    if part.extract.network is not None:
        features, facts = _of_network(part, images, root)
    else:
        features, facts = _radiomic(part, images), {"features": "radiomic"}
    undefined = [str(c) for c in features.columns if features[c].isna().any()]
    if undefined:
        raise DataProblem(
            f"the feature {undefined[0]!r} is undefined for {int(features[undefined[0]].isna().sum())} images.",
            code="COH-086",
            where=part.name,
            why="A constant image has no skewness and no texture; a set with such images is compared on nothing.",
            action="Look at these images, or widen `low` and `high`.",
        )
    table = pd.DataFrame(part.data).reset_index(drop=True).join(features)
    return replace(part, kind="table", data=table, images=None, origin={**part.origin, **facts})


def _radiomic(part: DataSet, images: torch.Tensor) -> pd.DataFrame:
    import pandas as pd

    extract = part.extract
    if extract is None or extract.low is None or extract.high is None:
        raise ValueError("radiomic features need their range")
    rows = [
        pd.DataFrame({k: v.numpy() for k, v in radiomic_features(
            block, low=extract.low, high=extract.high, bins=extract.bins).items()})
        for block in torch.split(images, BATCH)
    ]  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def _of_network(part: DataSet, images: torch.Tensor, root: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    import pandas as pd

    extract = part.extract
    if extract is None or extract.network is None:
        raise ValueError("there is no network")
    path = root / extract.network
    device = torch.device("cpu")
    network = load_onnx(path, device) if path.suffix == ".onnx" else load_torchscript(path, device)
    values = network_features(network, (images - extract.offset) / extract.scale, name=path.name)
    names = [f"feature {k + 1}" for k in range(values.shape[1])]
    return pd.DataFrame(values, columns=names), {"features": path.name, "features_sha256": sha256_file(path)}
