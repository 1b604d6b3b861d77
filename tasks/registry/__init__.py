"""Who is what: the identity, role and parents of everything that was trained."""
