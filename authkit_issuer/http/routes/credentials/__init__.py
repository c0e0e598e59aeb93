"""Operations of the domain ``credentials``."""
