"""Measuring a recorded row again."""
