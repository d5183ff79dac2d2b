"""Random pictures, for trying programs out."""

from collections.abc import Callable
from typing import Any

import lampas
from lampas.vision.datasets.vision import VisionDataset
from lampas.vision.transforms.functional import to_pil_image


class FakeData(VisionDataset):
    """`size` images of normal noise: (Pillow image, random class). Sample i is always the same.

    The random stream of the program is left as it was.
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, ...] = (3, 224, 224),
        num_classes: int = 10,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(transform=transform, target_transform=target_transform)
        self.size, self.num_classes = size, num_classes
        self.image_size, self.random_offset = image_size, random_offset

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index >= len(self):
            raise IndexError(f"{type(self).__name__} index out of range")
        state = lampas.get_rng_state()
        lampas.manual_seed(index + self.random_offset)
        image = lampas.randn(*self.image_size)
        target = lampas.randint(0, self.num_classes, size=(1,), dtype=lampas.long)[0]
        lampas.set_rng_state(state)
        return self._transformed(to_pil_image(image), int(target.item()))

    def __len__(self) -> int:
        return self.size
