"""Model keys: they identify weights by their hash, and those of the click decoder."""

from __future__ import annotations

_CLICKS = ", clicks "


def with_click_decoder(key: str, digest: str) -> str:
    """Return the key of a model with a click decoder.

    Parameters
    ----------
    key : str
        Of the model alone.
    digest : str
        Hash of the weights of the click decoder, with its algorithm.
    """
    return f"{key}{_CLICKS}{digest}"


def without_click_decoder(key: str) -> str:
    """Return the key of the model alone, whatever its click decoder."""
    return key.partition(_CLICKS)[0]
