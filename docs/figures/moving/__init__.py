"""The figures that a reader can move, made from what minidl computes or the runs measured: a module for each.

A figure is a Bokeh model. Everything that it can show is computed here. What runs in the reader's browser only chooses
from it, and loads nothing.
"""
