"""The drawings of each experiment: one module per experiment."""
