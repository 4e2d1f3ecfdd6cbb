#!/bin/sh
# Installs the tested torch into the given Python without gigabytes of CUDA where no NVIDIA driver is present.
# Usage: sh install-torch.sh .venv/bin/python
set -eu
python=$1
version=$(sed -n 's/^torch==//p' constraints.txt)

if "$python" -c "import importlib.metadata as m, sys; sys.exit(m.version('torch').split('+')[0] != '$version')" 2>/dev/null; then
    exit 0
fi
pip() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }

if command -v nvidia-smi >/dev/null 2>&1; then
    pip "torch==$version"
    exit 0
fi
# 1. A CPU build that pip can see by itself (a local wheel folder, a mirror, macOS and Arm, where every build is CPU).
if pip --no-deps "torch==$version+cpu" 2>/dev/null; then
    pip "torch==$version+cpu"
    exit 0
fi
# 2. PyTorch's own CPU index, which uv knows by name; fails at once where only package registries are reachable.
if pip uv && "$python" -m uv pip install --quiet --python "$python" --torch-backend cpu "torch==$version"; then
    exit 0
fi
# 3. Whatever the registry holds. On Linux x86-64 that is the CUDA build, which also runs without a GPU.
echo "hearth: no CPU build of torch $version can be reached; installing the registry's build (several GB on Linux)." >&2
pip "torch==$version"
