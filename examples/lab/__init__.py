"""What the experiments share: results and claims, runs and their workers, plots, the command line."""
