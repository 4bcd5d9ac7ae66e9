"""The learning rate: schedules change it with time, and the range test finds one to begin with."""
