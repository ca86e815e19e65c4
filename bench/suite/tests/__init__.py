"""Tests of the suite, the whole of it with programs that only pretend."""
