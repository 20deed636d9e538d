"""Networks and their parts under the names of transformers' SAM."""
