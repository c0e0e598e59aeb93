"""Operations of the domain ``sessions``."""
