"""Models under evaluation: how they are named, checked, loaded and run on images.

>>> from validation.models import ModelSpec
>>> ModelSpec(name="identity", version="1.0", kind="entry_point", entry_point="torch.nn:Identity").stochastic
False
"""

from validation.models.model import Batch, Model, load_model
from validation.models.spec import Inference, ModelSpec, Scaling

__all__ = ["Batch", "Inference", "Model", "ModelSpec", "Scaling", "load_model"]
