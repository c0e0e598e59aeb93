"""Operations of the domain ``signup``."""
