"""Executed by path in each process that a program under `lampas run` spawns: installs the alias.

The new process may not have found the package by itself yet: its own `sys.path` arrives later.
"""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("lampas") is None:
    sys.path.append(str(Path(__file__).resolve().parents[2]))

importlib.import_module("lampas.alias").install_alias()
