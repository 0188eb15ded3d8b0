"""What each command does: functions from a session and a request to a reply, one file a family."""
