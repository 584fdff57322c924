"""What bench/siege is made of: attacks on one door, and what the others and the process notice of them."""
