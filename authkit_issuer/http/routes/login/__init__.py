"""Operations of the domain ``login``."""
