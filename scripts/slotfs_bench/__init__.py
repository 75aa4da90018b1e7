"""Timing slotfs beside what a user would pick instead; run by scripts/bench."""
