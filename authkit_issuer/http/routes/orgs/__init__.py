"""Operations of the domain ``orgs``."""
