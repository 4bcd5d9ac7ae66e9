"""Regularisation: methods that keep a network from learning its training set by heart; and batch normalisation."""
