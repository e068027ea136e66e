"""Writes training-requirements.txt, -cuda.txt and -cpu.txt from what `uv pip compile` says (standard input).

A package index serves the CUDA build of torch, which pulls in gigabytes more; its CPU build has
the same version, another hash and none of those dependencies. So both hashes are listed, and what only CUDA
needs is a file of its own.
"""

import re
import sys
from pathlib import Path

# One for each Python and machine that it is installed on.
OF_PROCESSORS = {
    # torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl
    "torch==2.13.0": ["6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"],
}
HEAD_CPU = (
    "# The torch for processors alone, where an index or a folder of wheels has it; it comes first, and the\n"
    "# other file is then content with it. Made as that one.\n"
)
CUDA = re.compile(r"(nvidia|cuda)-|triton==")
HEAD = "# Made by `make train-lock` from training-requirements.in; every file is known by its hash.\n"
HEAD_CUDA = (
    "# What the torch of a package index needs besides; its build for processors needs none of it. Made as\n"
    "# the other file.\n"
)


def main() -> None:
    """Split the compiled requirements into the three files."""
    folder = Path(__file__).parent
    plain, cuda, cpu = [HEAD], [HEAD_CUDA], [HEAD_CPU]
    for block in re.split(r"\n(?=[a-z0-9])", sys.stdin.read().strip()):
        lines = [line.rstrip(" \\") for line in block.splitlines() if not line.strip().startswith("#")]
        name = lines[0].split(" ")[0]
        if hashes := [f"    --hash=sha256:{digest}" for digest in OF_PROCESSORS.get(name, [])]:
            lines[1:1] = hashes
            # In one entry: of several only the last one's hashes would count.
            cpu.append(" \\\n".join([f"{name}+cpu", *hashes]) + "\n")
        (cuda if CUDA.match(block) else plain).append(" \\\n".join(lines) + "\n")
    (folder / "training-requirements-cpu.txt").write_text("".join(cpu), encoding="utf-8")
    (folder / "training-requirements.txt").write_text("".join(plain), encoding="utf-8")
    (folder / "training-requirements-cuda.txt").write_text("".join(cuda), encoding="utf-8")


if __name__ == "__main__":
    main()
