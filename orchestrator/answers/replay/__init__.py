"""Replays a recorded row: measures it again, and compares."""
