"""The machinery behind the vector of parameters: views, names, freezing, blocks, and the state of an optimiser.

The modules of the path build on these. You can read their formulas without them, and look here when you need to.
"""
