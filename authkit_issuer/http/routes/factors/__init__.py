"""Operations of the domain ``factors``."""
