"""Populations of frozen policies, who meets whom, and the empirical game their matches fill."""
