"""What a space depends on: the images, and which pre-trained networks are available."""

from __future__ import annotations

from dataclasses import dataclass

from spaces.backbones import Backbone


@dataclass(frozen=True)
class Facts:
    """The data set in a few numbers, and the backbones. Presets choose ranges by them, and builders choose shapes."""

    height: int  # pixels
    width: int  # pixels
    channels: int  # 1 or 3
    classes: int  # 2 or more
    images: int  # training images
    backbones: tuple[Backbone, ...] = ()  # available ones, the preferred one first
    flip: bool = True  # whether an image turned left to right still shows its class
    uneven: bool = False  # whether some class has much more training images than another
    side: int = 0  # pixels at which pre-trained networks were found to see more of these images; 0: not known

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels: the input shape of a Keras model."""
        return self.height, self.width, self.channels
