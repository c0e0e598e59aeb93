"""Operations of the domain ``tokens``."""
