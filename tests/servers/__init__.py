"""Real servers on loopback: one that behaves in chosen ways, one that breaks the rules of HTTP."""
