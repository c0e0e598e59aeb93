"""Operations of the domain ``accounts``."""
