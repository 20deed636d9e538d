"""How good the masks are, by reference labels."""
