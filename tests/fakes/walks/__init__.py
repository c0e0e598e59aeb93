"""Random walks over the whole service: an account with every way in, its owner, and a thief."""
