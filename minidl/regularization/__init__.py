"""What keeps a network from learning its training set by heart, and what keeps its signals in range."""
