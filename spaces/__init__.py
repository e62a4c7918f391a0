"""What is searched: parameters with ranges and conditions, and the builders that make Keras models of them."""

from spaces.parameters import Choice, Number, Parameter, SpaceError, Value, When
from spaces.space import Space

__all__ = ["Choice", "Number", "Parameter", "Space", "SpaceError", "Value", "When"]
