"""The benchmark's contestants: the same work done by each library, one file per library.

All do the same arithmetic: network, images, batch size, optimiser and its constants, float32, number of threads. Each
is written as users of that library would write it. A training step is a whole one: gather the images of a batch in
random order, forward, loss, backward, update. All batches are full, and images and labels are in memory before the
clock starts.

A file has a function for each kind of work that its contestant takes part in. The function prepares the work of a
`Task` and returns a function that does it so many times.
"""
