"""Colours of tensor images: arrays (..., channels, height, width), uint8 in 0…255, floats in 0…1.

The formulas are those of torchvision's v1 transforms: blends of an image with a grey, black or
smoothed one, computed in floats and cut off to the dtype's range.
"""

import numpy as np

import lampas
from lampas import Tensor
from lampas.nn import functional as F

GREY = (0.2989, 0.587, 0.114)  # ITU-R 601 luma


def max_value(kind: lampas.dtype) -> int:
    """The value of white in an image of this dtype."""
    if kind == lampas.bool:
        return 1
    return 1 if kind.is_floating_point else lampas.iinfo(kind).max


def require_channels(image: Tensor, allowed: tuple[int, ...]) -> int:
    """The number of channels; raises TypeError if it is not among `allowed`."""
    channels = image.shape[-3] if image.dim() > 2 else 1
    if channels not in allowed:
        raise TypeError(
            f"Input image tensor permitted channel values are {list(allowed)}, but found {channels}"
        )
    return channels


def convert_dtype(image: Tensor, kind: lampas.dtype) -> Tensor:
    """To another dtype with white staying white.

    Raises RuntimeError for float32 to int32 or int64 and float64 to int64, which would overflow.
    """
    if image.dtype == kind:
        return image
    if image.is_floating_point():
        if kind.is_floating_point:
            return image.to(kind)
        wide = (lampas.int32, lampas.int64) if image.dtype == lampas.float32 else (lampas.int64,)
        if kind in wide:
            raise RuntimeError(f"The cast from {image.dtype} to {kind} cannot be performed safely.")
        return image.mul(max_value(kind) + 1.0 - 1e-3).to(kind)
    before = max_value(image.dtype)
    if kind.is_floating_point:
        return image.to(kind) / before
    after = max_value(kind)
    if before > after:
        factor = (before + 1) // (after + 1)
        return lampas.div(image, factor, rounding_mode="floor").to(kind)
    return image.to(kind) * ((after + 1) // (before + 1))


def rgb_to_grayscale(image: Tensor, num_output_channels: int = 1) -> Tensor:
    """Luma of an RGB image, in one channel or repeated in three."""
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    if require_channels(image, (1, 3)) == 3:
        red, green, blue = image.unbind(dim=-3)
        grey = GREY[0] * red + GREY[1] * green + GREY[2] * blue
        grey = grey.to(image.dtype).unsqueeze(-3)
    else:
        grey = image.clone()
    return (
        grey.expand(image.shape[:-3] + (3, *image.shape[-2:])) if num_output_channels == 3 else grey
    )


def blend(one: Tensor, other: Tensor, ratio: float) -> Tensor:
    """ratio·one + (1 − ratio)·other, cut off to the range of `one`'s dtype."""
    ratio = float(ratio)
    mixed = ratio * one + (1.0 - ratio) * other
    return mixed.clamp(0, max_value(one.dtype)).to(one.dtype)


def _require_factor(name: str, factor: float) -> None:
    if factor < 0:
        raise ValueError(f"{name}_factor ({factor}) is not non-negative.")


def adjust_brightness(image: Tensor, factor: float) -> Tensor:
    """Blend with black."""
    _require_factor("brightness", factor)
    require_channels(image, (1, 3))
    return blend(image, lampas.zeros_like(image), factor)


def adjust_contrast(image: Tensor, factor: float) -> Tensor:
    """Blend with the image's mean grey."""
    _require_factor("contrast", factor)
    grey = rgb_to_grayscale(image) if require_channels(image, (1, 3)) == 3 else image
    grey = grey if image.is_floating_point() else grey.to(lampas.float32)
    return blend(image, grey.mean(dim=(-3, -2, -1), keepdim=True), factor)


def adjust_saturation(image: Tensor, factor: float) -> Tensor:
    """Blend with the image's own grey."""
    _require_factor("saturation", factor)
    if require_channels(image, (1, 3)) == 1:
        return image
    return blend(image, rgb_to_grayscale(image), factor)


def adjust_hue(image: Tensor, factor: float) -> Tensor:
    """Turn the colour wheel by `factor` of a whole turn, in [−0.5, 0.5]."""
    if not -0.5 <= factor <= 0.5:
        raise ValueError(f"hue_factor ({factor}) is not in [-0.5, 0.5].")
    if require_channels(image, (1, 3)) == 1 or image.numel() == 0:
        return image
    hue, saturation, value = _to_hsv(convert_dtype(image, lampas.float32))
    turned = _to_rgb((hue + factor) % 1.0, saturation, value)
    return convert_dtype(turned, image.dtype)


def _to_hsv(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    red, green, blue = image.unbind(dim=-3)
    most, least = image.amax(dim=-3), image.amin(dim=-3)
    equal = most == least
    spread = most - least
    one = lampas.ones_like(most)
    saturation = spread / lampas.where(equal, one, most)
    divisor = lampas.where(equal, one, spread)
    from_red, from_green, from_blue = ((most - part) / divisor for part in (red, green, blue))
    at_red = (most == red) * (from_blue - from_green)
    at_green = ((most == green) & (most != red)) * (2.0 + from_red - from_blue)
    at_blue = ((most != green) & (most != red)) * (4.0 + from_green - from_red)
    hue = lampas.fmod((at_red + at_green + at_blue) / 6.0 + 1.0, 1.0)
    return hue, saturation, most


def _to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    sector = lampas.floor(hue * 6.0)
    part = hue * 6.0 - sector
    sector = sector.to(lampas.int32) % 6
    low = lampas.clamp(value * (1.0 - saturation), 0.0, 1.0)
    falling = lampas.clamp(value * (1.0 - saturation * part), 0.0, 1.0)
    rising = lampas.clamp(value * (1.0 - saturation * (1.0 - part)), 0.0, 1.0)
    reds = (value, falling, low, low, rising, value)
    greens = (rising, value, value, falling, low, low)
    blues = (low, low, rising, value, value, falling)
    planes = []
    for choices in (reds, greens, blues):
        plane = choices[0]
        for index in range(1, 6):
            plane = lampas.where(sector == index, choices[index], plane)
        planes.append(plane)
    return lampas.stack(planes, dim=-3)


def adjust_gamma(image: Tensor, gamma: float, gain: float = 1) -> Tensor:
    """gain · image^gamma on the scale 0…1."""
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    result = image if image.is_floating_point() else convert_dtype(image, lampas.float32)
    return convert_dtype((gain * result**gamma).clamp(0, 1), image.dtype)


def invert(image: Tensor) -> Tensor:
    """White minus the image."""
    require_channels(image, (1, 3))
    return max_value(image.dtype) - image


def posterize(image: Tensor, bits: int) -> Tensor:
    """Keep the first `bits` bits of uint8 values."""
    if image.dtype != lampas.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {image.dtype}")
    require_channels(image, (1, 3))
    return image & -int(2 ** (8 - bits)) % 256


def solarize(image: Tensor, threshold: float) -> Tensor:
    """Invert what is at least `threshold`."""
    require_channels(image, (1, 3))
    if threshold > max_value(image.dtype):
        raise TypeError("Threshold should be less than bound of img.")
    return lampas.where(image >= threshold, invert(image), image)


def autocontrast(image: Tensor) -> Tensor:
    """Stretch every channel to the whole range."""
    require_channels(image, (1, 3))
    bound = max_value(image.dtype)
    kind = image.dtype if image.is_floating_point() else lampas.float32
    least = image.amin(dim=(-2, -1), keepdim=True).to(kind)
    most = image.amax(dim=(-2, -1), keepdim=True).to(kind)
    scale = bound / (most - least)
    flat = most == least
    least = lampas.where(flat, 0.0, least)
    scale = lampas.where(flat, 1.0, scale)
    return ((image - least) * scale).clamp(0, bound).to(image.dtype)


def equalize(image: Tensor) -> Tensor:
    """Spread the histogram of every channel of a uint8 image evenly."""
    if image.dtype != lampas.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {image.dtype}")
    require_channels(image, (1, 3))
    planes = image.reshape(-1, *image.shape[-2:])
    done = [_equalize_plane(plane) for plane in planes]
    return lampas.stack(done).reshape(image.shape)


def _equalize_plane(plane: Tensor) -> Tensor:
    counts = lampas.bincount(plane.reshape(-1).to(lampas.int64), minlength=256)
    present = counts[counts != 0]
    step = int(lampas.div(present[:-1].sum(), 255, rounding_mode="floor"))
    if step == 0:
        return plane
    table = lampas.div(counts.cumsum(0) + step // 2, step, rounding_mode="floor")
    table = lampas.cat([lampas.zeros(1, dtype=table.dtype), table[:-1]]).clamp(0, 255)
    return table[plane.to(lampas.int64)].to(lampas.uint8)


def adjust_sharpness(image: Tensor, factor: float) -> Tensor:
    """Blend with an image smoothed by [[1,1,1],[1,5,1],[1,1,1]]/13 inside its border."""
    _require_factor("sharpness", factor)
    require_channels(image, (1, 3))
    if image.shape[-1] <= 2 or image.shape[-2] <= 2:
        return image
    return blend(image, _smooth(image), factor)


def _smooth(image: Tensor) -> Tensor:
    kind = image.dtype if image.is_floating_point() else lampas.float32
    kernel = lampas.ones(3, 3, dtype=kind)
    kernel[1, 1] = 5.0
    kernel = (kernel / kernel.sum()).expand(image.shape[-3], 1, 3, 3)
    batch = image.reshape(-1, *image.shape[-3:]).to(kind)
    inner = F.conv2d(batch, kernel, groups=image.shape[-3])
    inner = (inner if image.is_floating_point() else inner.round()).to(image.dtype)
    result = image.clone()
    result[..., 1:-1, 1:-1] = inner.reshape(image.shape[:-2] + tuple(inner.shape[-2:]))
    return result


def normalize(image: Tensor, mean: list[float], std: list[float], inplace: bool = False) -> Tensor:
    """(image − mean) / std for each channel.

    Raises TypeError for whole numbers, ValueError for a zero deviation or too few dimensions.
    """
    if not image.is_floating_point():
        raise TypeError(f"Input tensor should be a float tensor. Got {image.dtype}.")
    if image.dim() == 3 and image.dtype == lampas.float32 and not (inplace or image.requires_grad):
        return _normalize_one(image, mean, std)
    if image.dim() < 3:
        raise ValueError(
            "Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = "
            f"{image.shape}"
        )
    means = lampas.as_tensor(mean, dtype=image.dtype)
    deviations = lampas.as_tensor(std, dtype=image.dtype)
    _require_spread(deviations.numpy(), image.dtype)
    means = means.view(-1, 1, 1) if means.dim() == 1 else means
    deviations = deviations.view(-1, 1, 1) if deviations.dim() == 1 else deviations
    if inplace:
        return image.sub_(means).div_(deviations)
    return image.sub(means).div(deviations)


def _require_spread(deviations: np.ndarray, kind: lampas.dtype) -> None:
    if not deviations.all():
        raise ValueError(
            f"std evaluated to zero after conversion to {kind}, leading to division by zero."
        )


def _normalize_one(image: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """The same of a single image, at once: data loading should not build graphs."""
    means = np.asarray(mean, dtype=np.float32).reshape(-1, 1, 1)
    deviations = np.asarray(std, dtype=np.float32).reshape(-1, 1, 1)
    _require_spread(deviations, image.dtype)
    result = image.numpy() - means
    result /= deviations
    return lampas.from_numpy(result)
