"""Operations of the domain ``admin``."""
