"""Entry point of ``python -m napari_sam.cli``."""

import sys

from napari_sam.cli.main import main

sys.exit(main())
