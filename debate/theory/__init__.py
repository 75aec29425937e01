"""Games of debate whose answers are known: small exact models that protocols, judges and solvers are tested against."""
