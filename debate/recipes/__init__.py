"""The sections of a recipe; `debate.recipe` reads the whole."""
