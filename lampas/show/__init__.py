"""Pictures and tables of what happens: a tensor's graph, a model's layers, a learning curve."""

from lampas.show.curve import curve
from lampas.show.graph import graph
from lampas.show.picture import Picture
from lampas.show.summary import Summary, summary

__all__ = ["Picture", "Summary", "curve", "graph", "summary"]
