"""Preparing data for training: standardising, and splitting off a part that is not trained on."""
