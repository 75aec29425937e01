"""The option game: a free-text protocol seen as the game of its plan moves, estimated by rollouts and solved."""
