"""Entry point of `napari-sam` and of ``python -m napari_sam.cli``."""

import sys


def run() -> int:
    """Run `napari-sam`; Ctrl+C counts from the first moment, while it is imported."""
    try:
        from napari_sam.cli.main import main
    except KeyboardInterrupt:
        sys.stderr.write("napari-sam: interrupted.\n")
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(run())
