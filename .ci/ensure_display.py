"""Check that the canvas tests can open a window; tox runs this before pytest.

On Linux without a display they need Xvfb and the libraries of Qt's xcb plugin. As
root (on a CI machine) the script installs them with apt; otherwise it prints the
command.
"""

import ctypes.util
import os
import shutil
import subprocess
import sys

PACKAGES = [
    "xvfb",
    "xauth",
    "libdbus-1-3",
    "libegl1",
    "libfontconfig1",
    "libgl1",
    "libglib2.0-0",
    "libxcb-cursor0",
    "libxcb-icccm4",
    "libxcb-image0",
    "libxcb-keysyms1",
    "libxcb-render-util0",
    "libxcb-shape0",
    "libxcb-xinerama0",
    "libxkbcommon-x11-0",
]
LIBRARIES = [
    "EGL",
    "GL",
    "xcb-cursor",
    "xcb-icccm",
    "xcb-image",
    "xcb-keysyms",
    "xcb-render-util",
    "xkbcommon-x11",
]


def missing() -> list[str]:
    wanted = [lib for lib in LIBRARIES if ctypes.util.find_library(lib) is None]
    return wanted if shutil.which("Xvfb") else ["Xvfb", *wanted]


def main() -> int:
    if sys.platform != "linux" or not missing():
        return 0
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["update"], ["install", "-y", "--no-install-recommends"]):
            packages = PACKAGES if step[0] == "install" else []
            command = ["apt-get", "-q", *step, *packages]
            subprocess.run(command, check=True, env=environment)
    if not missing():
        return 0
    print(
        f"The canvas tests need {', '.join(missing())}. On Debian or Ubuntu: "
        f"sudo apt-get install {' '.join(PACKAGES)}",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
