"""Consuming: members of consumer groups, their partitions, and the way of one event to its handler."""
