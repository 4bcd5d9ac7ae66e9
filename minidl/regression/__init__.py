"""Numbers instead of classes: the loss of a network that predicts a price or a temperature."""
