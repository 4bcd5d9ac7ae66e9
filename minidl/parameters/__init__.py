"""What stands behind the vector of parameters: views, names, freezing, weight decay, blocks.

The modules of the path build on these. Their formulas can be read without them, so consult these when you meet them.
"""
