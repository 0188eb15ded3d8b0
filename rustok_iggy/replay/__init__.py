"""Replay: history again, planned, reviewed and run, without touching any group's committed offset."""
