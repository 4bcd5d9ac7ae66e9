"""What outlives the program: data sets, models and runs in files. Nothing in a file is trusted before it is checked."""
