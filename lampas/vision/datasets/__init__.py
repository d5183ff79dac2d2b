"""Datasets of images. Files that are not there are fetched on request, or asked for by place."""

from lampas.vision.datasets.cifar import CIFAR10, CIFAR100
from lampas.vision.datasets.fakedata import FakeData
from lampas.vision.datasets.folder import DatasetFolder, ImageFolder
from lampas.vision.datasets.mnist import EMNIST, KMNIST, MNIST, Digits, FashionMNIST
from lampas.vision.datasets.svhn import SVHN
from lampas.vision.datasets.vision import VisionDataset
