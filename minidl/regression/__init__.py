"""Numbers in place of classes: what a network needs to predict a price or a temperature."""
