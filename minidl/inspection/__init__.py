"""Looking at results: curves, predicted classes, confused classes, and the images that a model gets wrong."""
