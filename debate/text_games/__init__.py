"""OpenSpiel's games as text protocols: any agent that can pick one of several texts can play them."""
