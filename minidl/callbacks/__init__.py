"""Callbacks, which attach to the loop from outside, one concern per file; see `minidl.loop.Callback`."""
