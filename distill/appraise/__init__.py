"""Measure a log that exists already: what it cost, and what a student could have taken."""
