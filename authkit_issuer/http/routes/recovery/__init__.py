"""Operations of the domain ``recovery``."""
