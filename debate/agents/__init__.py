"""What acts: agents made of a policy and a speaker (a language model, a script, a person)."""
