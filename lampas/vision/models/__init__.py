"""Image classifiers: their layers, parameter names and start values are torchvision's."""

from lampas.vision.models._api import (
    Weights,
    WeightsEnum,
    get_model,
    get_model_builder,
    get_model_weights,
    get_weight,
    list_models,
)
from lampas.vision.models.alexnet import *  # noqa: F403
from lampas.vision.models.convnext import *  # noqa: F403
from lampas.vision.models.densenet import *  # noqa: F403
from lampas.vision.models.efficientnet import *  # noqa: F403
from lampas.vision.models.googlenet import *  # noqa: F403
from lampas.vision.models.inception import *  # noqa: F403
from lampas.vision.models.mnasnet import *  # noqa: F403
from lampas.vision.models.mobilenetv2 import *  # noqa: F403
from lampas.vision.models.mobilenetv3 import *  # noqa: F403
from lampas.vision.models.regnet import *  # noqa: F403
from lampas.vision.models.resnet import *  # noqa: F403
from lampas.vision.models.shufflenetv2 import *  # noqa: F403
from lampas.vision.models.squeezenet import *  # noqa: F403
from lampas.vision.models.vgg import *  # noqa: F403
from lampas.vision.models.vision_transformer import *  # noqa: F403
