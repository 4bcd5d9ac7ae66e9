"""Looking at results: curves, the classes a model gives, which it confuses, and the images it gets wrong."""
