"""Exogenous input of episodes: types and generators. The only room with a random generator."""
