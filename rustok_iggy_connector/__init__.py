"""Reach an Iggy server: embedded, remote, or in memory."""
