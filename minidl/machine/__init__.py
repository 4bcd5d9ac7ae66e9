"""The machine: what is installed here, how fast it is, and the command line that reports it."""
