"""Colours of Okabe and Ito (2008), which colour-blind people can tell apart."""

ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"

NAMES = {
    "sky blue": SKY_BLUE,
    "orange": ORANGE,
    "purple": PURPLE,
    "blue": BLUE,
    "green": GREEN,
    "vermilion": VERMILION,
    "yellow": YELLOW,
}
"""{name in the preferences: colour}; the first ones are those that no prompt has."""
