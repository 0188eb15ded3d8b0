"""Tracing: spans of publishing and handling, and the trace context that travels with each message."""
