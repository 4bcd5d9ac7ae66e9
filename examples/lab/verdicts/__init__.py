"""The claims of each experiment, and the rules by which its results decide them: one module per experiment."""
