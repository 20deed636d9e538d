"""Entry point of ``python -m napari_sam.cli``."""

import sys

from napari_sam.cli.interrupts import run

sys.exit(run())
