"""Data sets, models and runs in files, which outlive the program. Everything in a file is checked before it is used."""
